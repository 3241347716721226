//! The Rust worker of the system tests: `hera-test-worker PREFIX NAME`; `worker.mjs` serves the same endpoints in Node.
//!
//! ```text
//! GET  PREFIX/pid                    {"pid", "name"}
//! GET  PREFIX/sleep/{ms}             the same, later
//! GET  PREFIX/hold                   the same, once the file of GATE exists
//! POST PREFIX/run/{nonce}?ms=        the same, later; the nonce is noted in the file of RUNS before
//! POST PREFIX/echo                   the body, which was gathered first
//! POST PREFIX/stream                 the body, piece by piece
//! POST PREFIX/upload?rate=           reads so many bytes in a second; {"bytes", "sha256"}
//! GET  PREFIX/download/{bytes}       that many bytes of the pattern; ?length=1 says so in advance
//! GET  PREFIX/throw                  fails with a text
//! GET  PREFIX/never  PREFIX/forever  no answer; timeouts 1 s and 60 s
//! GET  PREFIX/at/NAME/state          {"pid", "name", "events": [{"what", "id", "detail"}], "runs": {nonce: count}}
//! POST PREFIX/at/NAME/burn/{on}      1: all cores of this process are busy from now on; 0: no more
//! ```

use aws_lc_rs::digest::{Context, SHA256};
use hera_client::{App, Body, BoxError, Error, Json, Request, Response};
use hera_tests::pattern;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MIB: u64 = 1024 * 1024;
/// How often a held call looks for the gate.
const LOOK: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let mut arguments = std::env::args().skip(1);
    let (Some(prefix), Some(name)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: hera-test-worker PREFIX NAME");
        std::process::exit(2);
    };
    let state = Arc::new(State::new(name));
    let mut app = App::new();
    small(&mut app, &prefix, &state);
    bodies(&mut app, &prefix, &state);
    failures(&mut app, &prefix, &state);
    controls(&mut app, &prefix, &state);
    hera_client::serve(app).await
}

fn small(app: &mut App, prefix: &str, state: &Arc<State>) {
    let who = state.who();
    app.get(&format!("{prefix}/pid"), move |_: Request| {
        let who = who.clone();
        async move { Json(who) }
    });

    let who = state.who();
    app.get(&format!("{prefix}/sleep/{{ms}}"), move |req: Request| {
        let who = who.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(number(req.param("ms"))?)).await;
            Ok::<_, BoxError>(Json(who))
        }
    });

    let who = state.who();
    let gate = std::env::var_os("GATE").map(std::path::PathBuf::from);
    app.endpoint(format!("GET {prefix}/hold")).timeout(Duration::from_secs(60)).handle(move |_: Request| {
        let (who, gate) = (who.clone(), gate.clone());
        async move {
            while gate.as_ref().is_some_and(|gate| !gate.exists()) {
                tokio::time::sleep(LOOK).await;
            }
            Json(who)
        }
    });

    let shared = state.clone();
    app.post(&format!("{prefix}/run/{{nonce}}"), move |req: Request| {
        let state = shared.clone();
        async move {
            state.ran(req.param("nonce").unwrap_or_default())?;
            tokio::time::sleep(Duration::from_millis(number(req.query_param("ms").as_deref())?)).await;
            Ok::<_, BoxError>(Json(state.who()))
        }
    });
}

fn bodies(app: &mut App, prefix: &str, state: &Arc<State>) {
    app.endpoint(format!("POST {prefix}/echo")).body_bytes_max(8 * MIB).handle(
        |mut req: Request| async move {
            let kind = req.header("content-type").unwrap_or("application/octet-stream").to_owned();
            Ok::<_, BoxError>(Response::bytes(req.body().await?).header("content-type", kind))
        },
    );

    let shared = state.clone();
    large(app, format!("POST {prefix}/stream")).handle(move |req: Request| {
        let (state, id) = (shared.clone(), req.id().to_owned());
        async move {
            let mut body = req.into_body();
            Response::stream(move |tx| async move {
                while let Some(piece) = body.chunk().await {
                    match piece {
                        Ok(piece) => tx.send(piece).await?,
                        Err(error) => return Err(state.event("stream_cut", &id, error)),
                    }
                }
                state.event("stream_end", &id, "");
                Ok(())
            })
        }
    });

    let shared = state.clone();
    large(app, format!("POST {prefix}/upload")).handle(move |req: Request| {
        let state = shared.clone();
        async move {
            let id = req.id().to_owned();
            let rate: u64 = number(req.query_param("rate").as_deref())?;
            // In a task of its own: the handler is dropped when its call is cancelled, and it is the reader's last word that counts here.
            tokio::spawn(read(state, id, req.into_body(), rate)).await?
        }
    });

    let shared = state.clone();
    large(app, format!("GET {prefix}/download/{{bytes}}")).handle(move |req: Request| {
        let (state, id) = (shared.clone(), req.id().to_owned());
        async move {
            let bytes: u64 = number(req.param("bytes"))?;
            let response = Response::stream(move |tx| async move {
                // Dropped where it waits when the call is cancelled: that, too, is to be seen.
                let cut = OnDrop::new(&state, "download_cut", &id);
                for block in pattern::blocks(bytes) {
                    tx.send(block).await?;
                }
                cut.forget();
                state.event("download_end", &id, bytes);
                Ok(())
            });
            let said = req.query_param("length").is_some();
            Ok::<_, BoxError>(if said {
                response.header("content-length", bytes.to_string())
            } else {
                response
            })
        }
    });
}

/// Reads a body at `rate` bytes in a second, 0 for as fast as it comes.
async fn read(
    state: Arc<State>,
    id: String,
    mut body: Body,
    rate: u64,
) -> Result<Json<serde_json::Value>, BoxError> {
    let (mut bytes, mut hash) = (0_u64, Context::new(&SHA256));
    let begun = tokio::time::Instant::now();
    state.event("upload_began", &id, "");
    while let Some(piece) = body.chunk().await {
        let piece = piece.map_err(|error| state.event("upload_cut", &id, error))?;
        bytes += piece.len() as u64;
        hash.update(&piece);
        if rate > 0 {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(bytes as f64 / rate as f64)).await;
        }
    }
    state.event("upload_end", &id, bytes);
    Ok(Json(serde_json::json!({ "bytes": bytes, "sha256": pattern::hex(hash) })))
}

fn large(app: &mut App, endpoint: String) -> hera_client::Endpoint<'_> {
    app.endpoint(endpoint).body_bytes_max(1024 * MIB).timeout(Duration::from_secs(300))
}

fn failures(app: &mut App, prefix: &str, state: &Arc<State>) {
    app.get(&format!("{prefix}/throw"), |req: Request| async move {
        Err::<(), BoxError>(format!("the handler broke on purpose for {}", req.id()).into())
    });
    for (name, timeout) in [("never", 1), ("forever", 60)] {
        let shared = state.clone();
        app.endpoint(format!("GET {prefix}/{name}")).timeout(Duration::from_secs(timeout)).handle(
            move |req: Request| {
                let state = shared.clone();
                async move {
                    state.event("began", req.id(), "");
                    let _cancelled = OnDrop::new(&state, "cancelled", req.id());
                    std::future::pending::<()>().await;
                }
            },
        );
    }
}

fn controls(app: &mut App, prefix: &str, state: &Arc<State>) {
    let at = format!("{prefix}/at/{}", state.name);
    let shared = state.clone();
    app.get(&format!("{at}/state"), move |_: Request| {
        let state = shared.clone();
        async move { Response::json(&*state) }
    });

    let burning = Arc::new(AtomicBool::new(false));
    app.post(&format!("{at}/burn/{{on}}"), move |req: Request| {
        let (on, burning) = (req.param("on") == Some("1"), burning.clone());
        async move {
            if !burning.swap(on, Ordering::Relaxed) && on {
                burn(&burning);
            }
        }
    });
}

/// Keeps every core that this process may use busy, beside the runtime.
fn burn(burning: &Arc<AtomicBool>) {
    for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
        let burning = burning.clone();
        std::thread::spawn(move || {
            while burning.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
    }
}

fn number(text: Option<&str>) -> Result<u64, BoxError> {
    Ok(text.unwrap_or("0").parse()?)
}

/// What this worker tells of itself.
#[derive(Serialize)]
struct State {
    pid: u32,
    name: String,
    events: Mutex<Vec<Event>>,
    runs: Mutex<BTreeMap<String, u32>>,
    #[serde(skip)]
    runs_file: Option<Mutex<std::fs::File>>,
}

#[derive(Clone, Serialize)]
struct Who {
    pid: u32,
    name: String,
}

#[derive(Serialize)]
struct Event {
    what: &'static str,
    id: String,
    detail: String,
}

impl State {
    fn new(name: String) -> State {
        let open = |path| std::fs::OpenOptions::new().append(true).create(true).open(path);
        State {
            pid: std::process::id(),
            name,
            events: Mutex::default(),
            runs: Mutex::default(),
            runs_file: std::env::var_os("RUNS")
                .map(|path| Mutex::new(open(path).expect("RUNS can be written"))),
        }
    }

    fn who(&self) -> Who {
        Who { pid: self.pid, name: self.name.clone() }
    }

    /// Notes what became of a call; gives the detail back as an error.
    fn event(&self, what: &'static str, id: &str, detail: impl ToString) -> BoxError {
        let (id, detail) = (id.to_owned(), detail.to_string());
        let error = detail.clone().into();
        lock(&self.events).push(Event { what, id, detail });
        error
    }

    /// Counts a run; the file outlives a kill.
    fn ran(&self, nonce: &str) -> Result<(), BoxError> {
        *lock(&self.runs).entry(nonce.to_owned()).or_default() += 1;
        if let Some(file) = &self.runs_file {
            // One write of one line: appended whole, whoever else writes to the file.
            lock(file).write_all(format!("{nonce}\n").as_bytes())?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes an event when it is dropped: that is how a handler learns that its call was cancelled.
struct OnDrop(Option<(Arc<State>, &'static str, String)>);

impl OnDrop {
    fn new(state: &Arc<State>, what: &'static str, id: &str) -> OnDrop {
        OnDrop(Some((state.clone(), what, id.to_owned())))
    }

    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some((state, what, id)) = self.0.take() {
            state.event(what, &id, "dropped");
        }
    }
}
