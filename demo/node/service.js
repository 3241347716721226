// A service of films. Start as many copies as you like: they open no port, and one file holds their data.
//   HERA=hera://127.0.0.1:4372 SECRET=herakey_… node service.js movies.db
import hera from "hera-client";
import { Movies } from "./movies.js";

const movies = new Movies(process.argv[2] ?? "movies.db");
const app = hera({ version: "1.0.0" });

app.get("/0/movies", (req, res) => {
  const { genre, rating, limit, offset } = req.query;
  res.json(movies.list({ genre: text(genre), rating: text(rating), limit: limited(limit), offset: whole(offset, 0) }));
});

// Handlers run in the order in which they stand: `search` before `:id`, which would take it too.
app.get("/0/movies/search", (req, res) => {
  const { q, limit } = req.query;
  if (!text(q)) throw new Refusal(400, "q is missing: the text to look for in titles");
  res.json(movies.search(q, limited(limit)));
});

app.get("/0/movies/stats", (req, res) => {
  const by = text(req.query.by) ?? "genre";
  if (by !== "genre" && by !== "rating") throw new Refusal(400, "by is genre or rating");
  res.json(movies.stats(by));
});

// A film for the weather of a day, which another service knows: asked over the connection that is there already.
const GENRES = { rain: "Drama", drizzle: "Romantic Comedy", snow: "Adventure", fog: "Thriller/Suspense", sun: "Comedy" };

app.get("/0/movies/for", async (req, res) => {
  const [location, date] = [text(req.query.location), text(req.query.date)];
  if (!location || !date) throw new Refusal(400, "location and date are missing");
  const day = await req.call(`GET /0/weather/${encodeURIComponent(location)}/${encodeURIComponent(date)}`);
  if (day.status === 404) throw new Refusal(404, `nobody knows the weather of ${date} in ${location}`);
  const { weather } = day.body;
  const genre = GENRES[weather] ?? "Drama";
  res.json({ location, date, weather, genre, film: movies.best(genre) });
});

app.get("/0/movies/:id", (req, res) => {
  const movie = movies.item(whole(req.params.id));
  if (!movie) throw new Refusal(404, `no movie has the id ${req.params.id}`);
  res.json(movie);
});

app.post("/0/movies", (req, res) => {
  const movie = req.body;
  if (typeof movie?.title !== "string" || movie.title === "") throw new Refusal(400, "title is missing");
  const odd = Object.entries(movie).find(([, value]) => value !== null && typeof value === "object");
  if (odd) throw new Refusal(400, `${odd[0]} is not text or a number`);
  const added = movies.add(movie);
  res.status(201).set("location", `/0/movies/${added.id}`).json(added);
});

// What a handler throws comes here. The rest is left to Hera: 500 for the caller, the text in this log alone.
app.use((error, _req, res, next) => {
  if (!(error instanceof Refusal)) return next(error);
  res.status(error.status).json({ error: error.message });
});

await app.connect();
console.log("movies: connected to hera");

// On SIGTERM and SIGINT the library finishes the calls that run and exits; then nobody uses the database any more.
process.on("exit", () => movies.close());

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** A query value that stands once, or null; `?genre=a&genre=b` is a list. */
function text(value) {
  if (Array.isArray(value)) throw new Refusal(400, "a query parameter stands twice");
  return value ?? null;
}

function whole(value, otherwise) {
  const number = Number(text(value) ?? otherwise);
  if (!Number.isSafeInteger(number) || number < 0) throw new Refusal(400, `${value} is not a whole number`);
  return number;
}

function limited(value) {
  return Math.min(whole(value, 10), 100);
}
