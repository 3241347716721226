//! A worker that notes what it runs: `hera-ledger-worker PREFIX NAME`, with `HERA`, `SECRET` and `RUNS_DIR` in its environment; with `COPIES` so many
//! in one process, each with connections of its own. `tests/workers/ledger.mjs` serves the same in Node.
//!
//! ```text
//! any  PREFIX/now/{nonce}                   {"nonce", "worker"}
//! any  PREFIX/slow/{nonce}?ms=              the same, later
//! any  PREFIX/again/{nonce}?ms=             the same, declared idempotent where that may be declared
//! any  PREFIX/stream/{nonce}?pieces=&ms=    the same, in pieces
//! any  PREFIX/hang/{nonce}                  no answer
//! any  PREFIX/deep/{calls}/{nonce}          calls PREFIX/deep/{calls - 1}/{nonce} and passes on its answer; 0 answers. Where the bus failed: its status, x-executed
//! GET  PREFIX/at/NAME/cancelled             how many calls were cancelled
//! ```
//!
//! Each run is noted before its handler begins. The answer carries the nonce only if the body that came was that of this call.

use hera_client::{
    App, BoxError, Error, Executed, IntoResponse, Json, Next, Options, Problem, Request, Response,
};
use hera_ledger::{Method, Nonce, RunLog};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Above what the tests have in flight on one connection, so that a hanging worker never sheds what it should hang on.
const IN_FLIGHT_MAX: u32 = 4_096;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let mut arguments = std::env::args().skip(1);
    let (Some(prefix), Some(name)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: hera-ledger-worker PREFIX NAME");
        std::process::exit(2);
    };
    let dir = PathBuf::from(std::env::var_os("RUNS_DIR").unwrap_or_else(|| ".".into()));
    let log = RunLog::open(&dir, &format!("{name}-{}", std::process::id()));
    let log = Arc::new(log.unwrap_or_else(|error| panic!("{}: {error}", dir.display())));

    let cancelled = Arc::new(AtomicU64::new(0));
    let app = || app(&prefix, &name, &log, &cancelled);
    match std::env::var("COPIES").ok().and_then(|copies| copies.parse::<usize>().ok()) {
        None => hera_client::serve(app()).await,
        Some(copies) => serve_all((0..copies).map(|_| app())).await,
    }
}

/// Serves them all until SIGTERM, and drains them all.
async fn serve_all(apps: impl Iterator<Item = App>) -> Result<(), Error> {
    let mut term = signal(SignalKind::terminate()).expect("a process may watch its signals");
    let mut clients = Vec::new();
    for app in apps {
        clients.push(app.connect().await?);
    }
    term.recv().await;
    let mut leaving = tokio::task::JoinSet::new();
    clients.into_iter().for_each(|client| drop(leaving.spawn(async move { client.drain().await })));
    leaving.join_all().await;
    Ok(())
}

fn app(prefix: &str, name: &str, log: &Arc<RunLog>, cancelled: &Arc<AtomicU64>) -> App {
    let mut app = App::with(Options::new().version("ledger").in_flight_max(IN_FLIGHT_MAX));
    let log = log.clone();
    app.layer(move |req: Request, next: Next| {
        let log = log.clone();
        async move {
            let innermost = req.param("calls").is_none_or(|calls| calls == "0");
            if let Some(nonce) = req.param("nonce").filter(|_| innermost) {
                log.note(nonce, req.method())?;
            }
            next.run(req).await
        }
    });
    for method in Method::ALL {
        serve(&mut app, prefix, name, method, cancelled);
    }
    let cancelled = cancelled.clone();
    app.get(&format!("{prefix}/at/{name}/cancelled"), move |_: Request| {
        let count = cancelled.load(Ordering::Relaxed);
        async move { Json(count) }
    });
    app
}

fn serve(app: &mut App, prefix: &str, name: &str, method: Method, cancelled: &Arc<AtomicU64>) {
    let worker = name.to_owned();
    app.endpoint(format!("{method} {prefix}/now/{{nonce}}")).handle(move |req: Request| {
        let worker = worker.clone();
        async move { Ok::<_, BoxError>(Response::text(answer(req, &worker).await?)) }
    });

    let later = |worker: String| {
        move |req: Request| {
            let worker = worker.clone();
            async move {
                tokio::time::sleep(milliseconds(&req)?).await;
                Ok::<_, BoxError>(Response::text(answer(req, &worker).await?))
            }
        }
    };
    app.endpoint(format!("{method} {prefix}/slow/{{nonce}}")).handle(later(name.to_owned()));
    app.endpoint(format!("{method} {prefix}/again/{{nonce}}"))
        .idempotent(true)
        .handle(later(name.to_owned()));

    let worker = name.to_owned();
    app.endpoint(format!("{method} {prefix}/stream/{{nonce}}")).handle(move |req: Request| {
        let worker = worker.clone();
        async move {
            let (pause, pieces) = (milliseconds(&req)?, number(&req, "pieces")?.max(1));
            let text = answer(req, &worker).await?;
            Ok::<_, BoxError>(Response::stream(move |tx| async move {
                let step = text.len().div_ceil(usize::try_from(pieces).unwrap_or(1));
                for piece in text.as_bytes().chunks(step) {
                    tx.send(piece.to_vec()).await?;
                    tokio::time::sleep(pause).await;
                }
                Ok(())
            }))
        }
    });

    let (worker, front) = (name.to_owned(), prefix.to_owned());
    app.endpoint(format!("{method} {prefix}/deep/{{calls}}/{{nonce}}")).handle(move |req: Request| {
        let (worker, front) = (worker.clone(), front.clone());
        async move { deep(req, &worker, &front).await }
    });

    let cancelled = cancelled.clone();
    app.endpoint(format!("{method} {prefix}/hang/{{nonce}}")).handle(move |_: Request| {
        let counted = CountedOnDrop(cancelled.clone());
        async move {
            let _counted = counted;
            std::future::pending::<()>().await;
        }
    });
}

/// Answers at the bottom; above it, passes on what the call below is answered, or how the bus failed.
async fn deep(mut req: Request, worker: &str, prefix: &str) -> Result<Response, BoxError> {
    let calls: u32 = req.param("calls").unwrap_or_default().parse()?;
    let Some(below) = calls.checked_sub(1) else {
        return Ok(Response::text(answer(req, worker).await?));
    };
    let body = req.body().await?;
    let endpoint =
        format!("{} {prefix}/deep/{below}/{}", req.method(), req.param("nonce").unwrap_or_default());
    match req.call(&endpoint).header("content-type", "application/json").body(body).await {
        Ok(mut reply) => {
            let mut response = Response::bytes(reply.body().await?).with_status(reply.status());
            for name in ["content-type", "x-executed"] {
                if let Some(value) = reply.header(name) {
                    response = response.header(name, value.to_owned());
                }
            }
            Ok(response)
        }
        Err(error) => {
            let executed = if error.executed == Executed::No { "no" } else { "maybe" };
            let problem = Problem::new(error.status.clamp(400, 599), error.code, "the call below failed");
            Ok(problem.into_response()?.header("x-executed", executed))
        }
    }
}

/// What a call is answered: its nonce, unless its body was that of another call.
async fn answer(mut req: Request, worker: &str) -> Result<String, BoxError> {
    let nonce = Nonce::parse(req.param("nonce").unwrap_or_default()).ok_or("the path has no nonce")?;
    let with_body =
        Method::ALL.into_iter().any(|method| method.as_str() == req.method() && method.has_body());
    let body = req.body().await?;
    let mut found = Nonce::all_in(&body);
    let fits = if with_body { found.next() == Some(nonce) } else { body.is_empty() };
    let shown = if fits { nonce.to_string() } else { format!("not in {} bytes of body", body.len()) };
    Ok(serde_json::json!({ "nonce": shown, "worker": worker }).to_string())
}

fn milliseconds(req: &Request) -> Result<Duration, BoxError> {
    Ok(Duration::from_millis(number(req, "ms")?))
}

fn number(req: &Request, name: &str) -> Result<u64, BoxError> {
    Ok(req.query_param(name).as_deref().unwrap_or("0").parse()?)
}

/// A handler that waits for ever is dropped when its call is cancelled.
struct CountedOnDrop(Arc<AtomicU64>);

impl Drop for CountedOnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
