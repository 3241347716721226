/** Metrics in a SQLite file, by callbacks as databases had them when the original was written. */
const { Database } = require("node-sqlite3-wasm");

const database = new Database(process.env.DATABASE, { readOnly: true, fileMustExist: true });

/** Gives one row, or null where there is none. */
exports.find = ({ id }, done) => {
  if (!/^\d{1,9}$/.test(id)) {
    setImmediate(done, new Error(`the metric ${JSON.stringify(id)} cannot be looked up in ${process.env.DATABASE}`));
    return;
  }
  try {
    const row = database.get("SELECT id, name, value FROM metrics WHERE id = ?", [Number(id)]);
    setImmediate(done, null, row ?? null);
  } catch (error) {
    setImmediate(done, error);
  }
};
