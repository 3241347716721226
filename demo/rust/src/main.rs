//! A service of daily weather: the demo's Rust worker.
//!
//! `HERA=hera://127.0.0.1:4372 SECRET=herakey_… hera-demo weather.csv weather.db`

mod store;

use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use hera_client::{App, BoxError, Options, Outcome, Problem, Request, Response};
use rusqlite::ffi::{SQLITE_CONSTRAINT_CHECK, SQLITE_CONSTRAINT_PRIMARYKEY};
use store::{Day, Filter, Store};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    // What the library has to say, above all the text of handlers' errors, goes to stderr.
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [csv, database] = arguments.as_slice() else { return Err("usage: hera-demo CSV DATABASE".into()) };
    // It lives as long as the process: one leak spares every handler a counted reference.
    let store: &'static Store = Box::leak(Box::new(Store::open(Path::new(database), Path::new(csv))?));

    let mut app = App::with(Options::new().version("1.0.0"));
    app.get("/0/weather", move |req| list(store, req))
        .get("/0/weather/search", move |req| search(store, req))
        .get("/0/weather/summary", move |req| summary(store, req))
        .get("/0/weather/{location}/{date}", move |req| item(store, req))
        .post("/0/weather", move |req| add(store, req));
    // Returns after SIGTERM or SIGINT, once the calls that ran are answered.
    Ok(hera_client::serve(app).await?)
}

async fn list(store: &'static Store, req: Request) -> Outcome {
    let filter = Filter {
        location: req.query_param("location"),
        from: req.query_param("from"),
        to: req.query_param("to"),
        ..Filter::default()
    };
    page(store, &req, filter).await
}

async fn search(store: &'static Store, req: Request) -> Outcome {
    let filter = Filter {
        weather: req.query_param("weather"),
        min_precipitation: number(&req, "min_precipitation")?,
        ..Filter::default()
    };
    page(store, &req, filter).await
}

async fn page(store: &'static Store, req: &Request, filter: Filter) -> Outcome {
    let limit = number(req, "limit")?.unwrap_or(10).min(100);
    let offset = number(req, "offset")?.unwrap_or(0);
    Ok(Response::json(&apart(move || store.list(&filter, limit, offset)).await?))
}

async fn summary(store: &'static Store, req: Request) -> Outcome {
    let location = req.query_param("location").ok_or_else(|| bad("location is missing"))?;
    let year = number(&req, "year")?.ok_or_else(|| bad("year is missing"))?;
    Ok(Response::json(&apart(move || store.months(&location, year)).await?))
}

async fn item(store: &'static Store, req: Request) -> Outcome {
    let part = |name| req.param(name).unwrap_or_default().to_owned();
    let (location, date) = (part("location"), part("date"));
    let day = apart(move || store.item(&location, &date)).await?;
    let unknown = || Problem::new(404, "day_unknown", "no weather is known of this place and date");
    Ok(Response::json(&day.ok_or_else(unknown)?))
}

async fn add(store: &'static Store, mut req: Request) -> Outcome {
    let day: Day = req.json().await?;
    let (answer, at) = (Response::json(&day), format!("/0/weather/{}/{}", escaped(&day.location), day.date));
    apart(move || store.add(&day)).await?;
    Ok(answer.with_status(201).header("location", at))
}

/// Runs a query on a thread where it may block; the threads of the runtime go on to answer calls and pings.
async fn apart<T: Send + 'static>(
    query: impl FnOnce() -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, BoxError> {
    tokio::task::spawn_blocking(query).await?.map_err(refusal)
}

/// What the caller did wrong is told to the caller; any other error stays in the log, and the caller gets 500.
fn refusal(error: rusqlite::Error) -> BoxError {
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(SQLITE_CONSTRAINT_PRIMARYKEY) => {
            Problem::new(409, "day_known", "the weather of this place and date is there already").into()
        }
        Some(SQLITE_CONSTRAINT_CHECK) => {
            bad("location is empty or has a slash, or date is not YYYY-MM-DD").into()
        }
        _ => error.into(),
    }
}

fn number<T: FromStr>(req: &Request, name: &str) -> Result<Option<T>, Problem> {
    let read = |text: String| text.parse().map_err(|_| bad(format!("{name} is not a number that fits")));
    req.query_param(name).map(read).transpose()
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(400, "bad_request", detail)
}

/// Text as one segment of a path.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
