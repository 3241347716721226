// The tour: calls every endpoint of the demo by curl, and compares each answer with what the data set itself says.
//   node tour.mjs URL TOKEN_HEADER_FILE READER_HEADER_FILE
import { readFileSync } from "node:fs";
import { check, curl, heading, score, shell } from "./step.mjs";

const [url, auth, reader] = process.argv.slice(2);
const data = new URL("./node/node_modules/vega-datasets/data/", import.meta.url);
const films = JSON.parse(readFileSync(new URL("movies.json", data), "utf8"));
const days = readFileSync(new URL("weather.csv", data), "utf8")
  .trim()
  .split("\n")
  .slice(1)
  .map((line) => line.split(","));
const get = (path, ...more) => ["-H", `@${auth}`, ...more, `${url}${path}`];
const post = (path, body) => ["-H", `@${auth}`, "-H", "Content-Type: application/json", "-d", body, `${url}${path}`];

heading("Films, by two copies of a Node service");

const westerns = films.filter((film) => film["Major Genre"] === "Western");
let answer = await curl(["-i", ...get("/0/movies?genre=Western&limit=2")], "all");
check(
  `200, ${westerns.length} westerns, and the metadata that every answer carries`,
  answer.status === 200 &&
    answer.body.total === westerns.length &&
    answer.body.items.length === 2 &&
    answer.body.items[0].title === westerns[0].Title &&
    answer.headers.get("hera-worker")?.startsWith("movies/1.0.0/") &&
    /^auth;dur=[\d.]+, queue;dur=[\d.]+, worker;dur=[\d.]+, bus;dur=[\d.]+$/.test(
      answer.headers.get("server-timing"),
    ) &&
    answer.headers.has("x-request-id"),
  answer.body,
);

const id = 1 + films.findIndex((film) => film.Title === "Casablanca");
answer = await curl(get(`/0/movies/${id}`));
check(
  "one film",
  answer.status === 200 && answer.body.title === "Casablanca" && answer.body.imdb === films[id - 1]["IMDB Rating"],
  answer.body,
);

const found = films.filter((film) =>
  String(film.Title ?? "")
    .toLowerCase()
    .includes("godfather"),
);
const best = found.toSorted((a, b) => b["IMDB Rating"] - a["IMDB Rating"]);
answer = await curl(get("/0/movies/search?q=godfather"));
check(
  `a search: ${found.length} titles, the best first`,
  answer.status === 200 &&
    answer.body.total === found.length &&
    same(
      answer.body.items.map((each) => each.title),
      best.map((each) => each.Title),
    ),
  answer.body,
);

const dramas = films.filter((film) => film["Major Genre"] === "Drama");
answer = await curl(get("/0/movies/stats?by=genre"));
check(
  `sums: ${dramas.length} dramas that took ${sum(dramas, "Worldwide Gross")}`,
  answer.status === 200 &&
    answer.body[0]?.genre === "Drama" &&
    answer.body[0].films === dramas.length &&
    answer.body[0].gross === sum(dramas, "Worldwide Gross"),
  answer.body[0],
);

answer = await curl(post("/0/movies", '{ "title": "Hera", "released": "2026-11-23", "genre": "Adventure" }'));
const added = answer.headers.get("location");
check(
  `201, and it stands at ${added}`,
  answer.status === 201 && added === `/0/movies/${films.length + 1}`,
  answer.body,
);

const each = "'%{http_code} %header{hera-worker}\\n'";
const calls = [
  "curl",
  "-Z",
  "--no-progress-meter",
  "-o /dev/null",
  `-w ${each}`,
  `-H @${auth}`,
  `'${url}${added}?n=[1-40]'`,
];
let tally;
let copies;
// A copy that was slow a moment ago, on a machine that has much to do, is spared for a while: it gets more than one chance.
for (let round = 0; round < 5 && copies?.length !== 2; round += 1) {
  tally = await shell([...calls, "| sort | uniq -c"]);
  copies = tally.map((line) => /^ *(\d+) 200 movies\/1\.0\.0\/\S+$/.exec(line)?.[1]);
}
check(
  "40 calls at once: both copies answer, and both know the new film",
  copies.length === 2 && Number(copies[0]) + Number(copies[1]) === 40,
  tally,
);

answer = await curl(get(`/0/movies/${id}`, "-H", "Accept: application/vnd.hera+json"));
check(
  "the same film, wrapped: the metadata stands in the body",
  answer.status === 200 &&
    answer.body.data?.title === "Casablanca" &&
    answer.body.meta?.request_id === answer.headers.get("x-request-id"),
  answer.body,
);

heading("Weather, by a Rust service");

const july = days.filter(([place, date]) => place === "Seattle" && date.startsWith("2014-07"));
answer = await curl(get("/0/weather?location=Seattle&from=2014-07-01&to=2014-07-31&limit=2"));
check(
  `${july.length} days of July`,
  answer.status === 200 &&
    answer.body.total === july.length &&
    answer.body.items[0]?.temp_max === Number(july[0][3]) &&
    answer.headers.get("hera-worker")?.startsWith("weather/1.0.0/"),
  answer.body,
);

const sandy = days.find(([place, date]) => place === "New York" && date === "2012-10-29");
answer = await curl(get("/0/weather/New%20York/2012-10-29"));
check(
  "one day, at a place with a space in its name",
  answer.status === 200 && answer.body.wind === Number(sandy[5]) && answer.body.location === "New York",
  answer.body,
);

const blizzards = days.filter(([, , rain, , , , weather]) => weather === "snow" && Number(rain) >= 30);
answer = await curl(get("/0/weather/search?weather=snow&min_precipitation=30"));
check(
  `a search: ${blizzards.length} days of much snow`,
  answer.status === 200 &&
    answer.body.total === blizzards.length &&
    same(
      answer.body.items.map((day) => day.date),
      blizzards.map(([, date]) => date),
    ),
  answer.body,
);

const hottest = Math.max(...july.map((day) => Number(day[3])));
answer = await curl(get("/0/weather/summary?location=Seattle&year=2014"));
check(
  `sums: 12 months, and ${hottest} degrees at the most in July`,
  answer.status === 200 &&
    answer.body.length === 12 &&
    answer.body[6]?.temp_max === hottest &&
    answer.body[6].days === july.length,
  answer.body,
);

const day = `{ "location": "Samos", "date": "2026-11-23", "weather": "sun",
      "temp_max": 21, "temp_min": 15.5, "precipitation": 0, "wind": 3.2 }`;
answer = await curl(post("/0/weather", day));
check(
  "201, and it stands at /0/weather/Samos/2026-11-23",
  answer.status === 201 && answer.headers.get("location") === "/0/weather/Samos/2026-11-23",
  answer.body,
);
answer = await curl(get("/0/weather/Samos/2026-11-23"));
check("the new day", answer.status === 200 && answer.body.temp_max === 21, answer.body);

heading("One service asks the other");

const wet = days.find(([place, , , , , , weather]) => place === "Seattle" && weather === "rain");
answer = await curl(get(`/0/movies/for?location=Seattle&date=${wet[1]}`, "-H", "X-Request-Id: tour-1"));
check(
  "a film for a day of rain: movies asks weather, over the connection that it has",
  answer.status === 200 &&
    answer.body.weather === "rain" &&
    answer.body.film.genre === "Drama" &&
    answer.headers.get("x-request-id") === "tour-1" &&
    answer.headers.get("hera-worker")?.startsWith("movies/1.0.0/"),
  answer.body,
);
answer = await curl(get("/0/movies/for?location=Nowhere&date=2014-01-01"));
check("404 where the other service knows no such day", answer.status === 404, answer.body);

heading("What goes wrong says what to do");

answer = await curl(["-H", `@${reader}`, `${url}/0/movies/${id}`]);
check(
  "403 for a token that may read weather alone, with the command that helps",
  answer.status === 403 && answer.body.code === "forbidden" && answer.body.detail.includes("hera token create"),
  answer.body,
);
answer = await curl(get("/0/books"));
check("404 for a path that no service has", answer.status === 404 && answer.body.code === "not_found", answer.body);

const { right, wrong } = score();
heading(wrong === 0 ? `All ${right} answers were right.` : `${wrong} of ${right + wrong} answers were WRONG.`);
process.exitCode = wrong === 0 ? 0 : 1;

function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

function sum(list, name) {
  return list.reduce((total, each) => total + (each[name] ?? 0), 0);
}
