//! Days of weather in SQLite, one file of one process.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hera_client::BoxError;
use rusqlite::{Connection, OptionalExtension, Result, Row, named_params, params};
use serde::{Deserialize, Serialize};

// The database refuses what is no day, so that no handler has to.
const SCHEMA: &str = "
    CREATE TABLE day (
        location TEXT NOT NULL CHECK (location <> '' AND instr(location, '/') = 0),
        date TEXT NOT NULL CHECK (date IS strftime('%Y-%m-%d', date)),
        precipitation REAL NOT NULL, temp_max REAL NOT NULL, temp_min REAL NOT NULL, wind REAL NOT NULL,
        weather TEXT NOT NULL,
        PRIMARY KEY (location, date)
    ) WITHOUT ROWID";
const INSERT: &str = "INSERT INTO day VALUES (?, ?, ?, ?, ?, ?, ?)";

/// The weather of one day at one place: millimetres, degrees Celsius, metres per second.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Day {
    pub(crate) location: String,
    pub(crate) date: String,
    pub(crate) precipitation: f64,
    pub(crate) temp_max: f64,
    pub(crate) temp_min: f64,
    pub(crate) wind: f64,
    pub(crate) weather: String,
}

/// What a list is narrowed to; `None` is any.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) location: Option<String>,
    pub(crate) weather: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) min_precipitation: Option<f64>,
}

/// One page of a list, and how many days there are in all.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    total: u32,
    items: Vec<Day>,
}

/// One month in numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Month {
    month: String,
    days: u32,
    precipitation: f64,
    temp_max: f64,
    temp_min: f64,
}

/// The database. Every method blocks until SQLite answered.
pub(crate) struct Store(Mutex<Connection>);

impl Store {
    /// Opens the file, and fills it from the CSV file when it is new: a header, then one day in each line, no quotes.
    pub(crate) fn open(database: &Path, csv: &Path) -> std::result::Result<Store, BoxError> {
        let mut connection = Connection::open(database)?;
        if !connection.table_exists(None, "day")? {
            let text = std::fs::read_to_string(csv).map_err(|error| format!("{}: {error}", csv.display()))?;
            let filling = connection.transaction()?;
            filling.execute_batch(SCHEMA)?;
            {
                let mut insert = filling.prepare(INSERT)?;
                for line in text.lines().skip(1) {
                    insert.execute(rusqlite::params_from_iter(line.split(',')))?;
                }
            }
            filling.commit()?;
        }
        Ok(Store(Mutex::new(connection)))
    }

    /// The days that pass the filter, in order of place and date.
    pub(crate) fn list(&self, filter: &Filter, limit: u32, offset: u32) -> Result<Page> {
        let matching = "FROM day WHERE (:location IS NULL OR location = :location) AND (:weather IS NULL OR weather = :weather)
            AND (:from IS NULL OR date >= :from) AND (:to IS NULL OR date <= :to)
            AND (:wet IS NULL OR precipitation >= :wet)";
        let values = named_params! {
            ":location": filter.location, ":weather": filter.weather, ":from": filter.from, ":to": filter.to,
            ":wet": filter.min_precipitation,
        };
        self.with(|connection| {
            let total =
                connection.query_row(&format!("SELECT count(*) {matching}"), values, |row| row.get(0))?;
            let sql = format!("SELECT * {matching} ORDER BY location, date LIMIT {limit} OFFSET {offset}");
            let items = connection.prepare(&sql)?.query_map(values, day)?.collect::<Result<_>>()?;
            Ok(Page { total, items })
        })
    }

    /// One day, if it is known.
    pub(crate) fn item(&self, location: &str, date: &str) -> Result<Option<Day>> {
        let sql = "SELECT * FROM day WHERE location = ? AND date = ?";
        self.with(|connection| connection.query_row(sql, [location, date], day).optional())
    }

    /// Each month of a year at one place.
    pub(crate) fn months(&self, location: &str, year: u32) -> Result<Vec<Month>> {
        let sql =
            "SELECT substr(date, 1, 7), count(*), round(sum(precipitation), 1), max(temp_max), min(temp_min)
            FROM day WHERE location = ? AND substr(date, 1, 4) = ? GROUP BY 1 ORDER BY 1";
        self.with(|connection| {
            let mut months = connection.prepare(sql)?;
            months.query_map(params![location, format!("{year:04}")], month)?.collect()
        })
    }

    /// Adds a day. A day that is there already, or cannot be, violates a constraint.
    pub(crate) fn add(&self, day: &Day) -> Result<()> {
        let Day { location, date, precipitation, temp_max, temp_min, wind, weather } = day;
        let values = params![location, date, precipitation, temp_max, temp_min, wind, weather];
        self.with(|connection| connection.execute(INSERT, values).map(|_| ()))
    }

    /// One query at a time. A panic while it held the lock leaves no half-done work: SQLite rolls back.
    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        work(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn day(row: &Row<'_>) -> Result<Day> {
    Ok(Day {
        location: row.get(0)?,
        date: row.get(1)?,
        precipitation: row.get(2)?,
        temp_max: row.get(3)?,
        temp_min: row.get(4)?,
        wind: row.get(5)?,
        weather: row.get(6)?,
    })
}

fn month(row: &Row<'_>) -> Result<Month> {
    Ok(Month {
        month: row.get(0)?,
        days: row.get(1)?,
        precipitation: row.get(2)?,
        temp_max: row.get(3)?,
        temp_min: row.get(4)?,
    })
}
