/** Films in SQLite: one file, which any number of processes may have open. */
import { readFileSync } from "node:fs";
import sqlite from "node-sqlite3-wasm";

const DATA_SET = new URL("./node_modules/vega-datasets/data/movies.json", import.meta.url);
const COLUMNS = "title released genre rating director distributor minutes budget gross imdb votes".split(" ");
const SHORT = "id, title, released, genre, imdb";

export class Movies {
  #db;

  /** Opens the file; who comes first fills it from the data set, and others wait until that is done. */
  constructor(file) {
    this.#db = new sqlite.Database(file);
    // Processes that share the file take turns. The wait blocks this process, so it is short.
    this.#db.exec("PRAGMA busy_timeout = 3000");
    this.#db.exec("BEGIN IMMEDIATE");
    this.#db.exec(`CREATE TABLE IF NOT EXISTS movie (id INTEGER PRIMARY KEY, ${COLUMNS})`);
    if (this.#count() === 0) this.#fill();
    this.#db.exec("COMMIT");
  }

  /** A page of the films of a genre and a rating; null is any. */
  list({ genre, rating, limit, offset }) {
    const filter = "WHERE (:genre IS NULL OR genre = :genre) AND (:rating IS NULL OR rating = :rating)";
    const values = { ":genre": genre, ":rating": rating };
    const sql = `SELECT ${SHORT} FROM movie ${filter} ORDER BY id LIMIT :limit OFFSET :offset`;
    const items = this.#db.all(sql, { ...values, ":limit": limit, ":offset": offset });
    return { total: this.#count(filter, values), items };
  }

  /** One film with all that is known of it, or null. */
  item(id) {
    return this.#db.get("SELECT * FROM movie WHERE id = ?", id);
  }

  /** The best film of a genre, or null. */
  best(genre) {
    return this.#db.get(`SELECT ${SHORT} FROM movie WHERE genre = ? ORDER BY imdb DESC, id LIMIT 1`, genre);
  }

  /** Films with this text in their title, the best first. */
  search(text, limit) {
    const filter = "WHERE instr(lower(title), lower(:text)) > 0";
    const sql = `SELECT ${SHORT} FROM movie ${filter} ORDER BY imdb DESC, id LIMIT :limit`;
    const items = this.#db.all(sql, { ":text": text, ":limit": limit });
    return { total: this.#count(filter, { ":text": text }), items };
  }

  /** Films, mean rating and takings for each value of a column. */
  stats(by) {
    if (!COLUMNS.includes(by)) throw new RangeError(`no column ${by}`);
    const sums = "count(*) AS films, round(avg(imdb), 2) AS imdb, sum(gross) AS gross";
    return this.#db.all(`SELECT ${by}, ${sums} FROM movie WHERE ${by} IS NOT NULL GROUP BY ${by} ORDER BY films DESC`);
  }

  /** Adds a film and gives it as it is stored; what it does not say is null. */
  add(movie) {
    const marks = COLUMNS.map(() => "?").join();
    const values = COLUMNS.map((column) => movie[column] ?? null);
    const { lastInsertRowid } = this.#db.run(`INSERT INTO movie (${COLUMNS}) VALUES (${marks})`, values);
    return this.item(lastInsertRowid);
  }

  close() {
    this.#db.close();
  }

  #count(filter = "", values = {}) {
    return this.#db.get(`SELECT count(*) AS n FROM movie ${filter}`, values).n;
  }

  #fill() {
    const insert = this.#db.prepare(`INSERT INTO movie (${COLUMNS}) VALUES (${COLUMNS.map(() => "?").join()})`);
    for (const film of JSON.parse(readFileSync(DATA_SET, "utf8"))) insert.run(row(film));
    insert.finalize();
  }
}

/** The data set's names and forms to ours; a few titles (as `300`) are numbers there. */
function row(film) {
  return [
    film.Title === null ? null : String(film.Title),
    new Date(`${film["Release Date"]} UTC`).toISOString().slice(0, 10),
    film["Major Genre"],
    film["MPAA Rating"],
    film.Director,
    film.Distributor,
    film["Running Time min"],
    film["Production Budget"],
    film["Worldwide Gross"],
    film["IMDB Rating"],
    film["IMDB Votes"],
  ];
}
