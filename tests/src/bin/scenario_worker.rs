//! The player's worker in Rust: what it serves stands in `spec/scenarios/README.md`.

#![allow(clippy::print_stdout, reason = "the player reads it")]

use hera_client::{App, BoxError, CallError, Error, Executed, Reply, Request, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

type Answer = Result<Response, BoxError>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let mut app = App::new();
    simple(&mut app);
    slow(&mut app);
    bodies(&mut app);
    calls(&mut app);
    nested(&mut app);
    let mut term = signal(SignalKind::terminate())?;
    let client = match app.connect().await {
        Ok(client) => client,
        Err(error) => {
            println!("refused {}", code_of(&error));
            std::process::exit(3);
        }
    };
    println!("ready");
    term.recv().await;
    client.drain().await;
    Ok(())
}

fn code_of(error: &Error) -> &str {
    match error {
        Error::Refused { code, .. } => code,
        Error::DeclarationRefused { .. } => "declaration_refused",
        _ => "other",
    }
}

fn simple(app: &mut App) {
    app.get("/s/hello", async |_: Request| "hello");
    app.post("/s/echo", async |mut req: Request| -> Answer {
        let content_type = req.header("content-type").unwrap_or_default().to_owned();
        Ok(Response::bytes(req.body().await?).header("content-type", content_type))
    });
    app.get("/s/params/{id}", async |req: Request| {
        Response::json(&json!({"id": req.param("id"), "q": req.query_param("q")}))
    });
    app.get("/s/status/{code}", async |req: Request| -> Answer {
        let code: u16 = req.param("code").unwrap_or_default().parse()?;
        Ok(Response::text("status").with_status(code).header("x-code", code.to_string()))
    });
    app.get("/s/throw", async |_: Request| -> Answer { Err("secret text".into()) });
    app.get("/s/context", async |req: Request| {
        let left = req.remaining();
        Response::json(&json!({
            "request_id": req.id(),
            "token": req.caller().token(),
            "service": req.caller().service(),
            "team": req.caller().label("team"),
            "trace": req.trace().map(|trace| trace.traceparent().to_owned()),
            "in_time": left > Duration::ZERO && left <= Duration::from_secs(60),
        }))
    });
}

#[derive(Default)]
struct Seen {
    started: AtomicU64,
    finished: AtomicU64,
    cancelled: AtomicU64,
}

/// Counts a call as cancelled unless it finishes: dropping the handler is cancelling it.
struct Running(Arc<Seen>, bool);

impl Drop for Running {
    fn drop(&mut self) {
        let count = if self.1 { &self.0.finished } else { &self.0.cancelled };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn slow(app: &mut App) {
    let seen = Arc::new(Seen::default());
    let counts = Arc::clone(&seen);
    app.get("/s/slow/{ms}", move |req: Request| {
        let seen = Arc::clone(&counts);
        async move {
            seen.started.fetch_add(1, Ordering::Relaxed);
            let mut running = Running(seen, false);
            tokio::time::sleep(Duration::from_millis(req.param("ms").unwrap_or_default().parse()?)).await;
            running.1 = true;
            Ok::<_, BoxError>("slow")
        }
    });
    app.get("/s/seen", move |_: Request| {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let seen = json!({"started": count(&seen.started), "finished": count(&seen.finished), "cancelled": count(&seen.cancelled)});
        async move { Response::json(&seen) }
    });
}

fn bodies(app: &mut App) {
    app.endpoint("POST /s/small").body_bytes_max(10).handle(async |mut req: Request| -> Answer {
        Ok(Response::text(req.body().await?.len().to_string()))
    });
    app.endpoint("POST /s/count").body_bytes_max(16 << 20).handle(async |req: Request| -> Answer {
        let (mut body, mut bytes) = (req.into_body(), 0);
        while let Some(piece) = body.chunk().await {
            bytes += piece?.len();
        }
        Ok(Response::text(bytes.to_string()))
    });
    app.get("/s/stream/{pieces}", async |req: Request| -> Answer {
        let pieces: usize = req.param("pieces").unwrap_or_default().parse()?;
        Ok(Response::stream(move |tx| async move {
            for _ in 0..pieces {
                tx.send(vec![b'x'; 1000]).await?;
            }
            Ok(())
        }))
    });
    app.get("/s/cut", async |_: Request| {
        Response::stream(|tx| async move {
            tx.send(vec![b'x'; 1000]).await?;
            Err("no more".into())
        })
    });
}

/// What `/s/call` tells of a call that the bus failed.
fn failure(error: &CallError) -> Value {
    let executed = if error.executed == Executed::No { "no" } else { "maybe" };
    json!({"code": error.code, "executed": executed, "status": error.status})
}

async fn text(reply: &mut Reply) -> Result<String, CallError> {
    Ok(String::from_utf8_lossy(&reply.body().await?).into_owned())
}

fn calls(app: &mut App) {
    app.get("/s/call", async |req: Request| -> Answer {
        let mut call = req.call(req.header("x-call").unwrap_or_default());
        if let Some(timeout) = req.header("x-timeout") {
            call = call.timeout(Duration::from_millis(timeout.parse()?));
        }
        let told = match call.await {
            Ok(mut reply) => json!({"status": reply.status(), "body": text(&mut reply).await?}),
            Err(error) => failure(&error),
        };
        Ok(Response::json(&told))
    });
    app.get("/s/parallel/{count}", async |req: Request| -> Answer {
        let count: usize = req.param("count").unwrap_or_default().parse()?;
        let mut calls = tokio::task::JoinSet::new();
        (0..count).for_each(|_| drop(calls.spawn(req.call("GET /s/hello").into_future())));
        let replies = calls.join_all().await;
        let answered = replies.iter().filter(|reply| reply.as_ref().is_ok_and(Reply::is_success)).count();
        Ok(Response::text(answered.to_string()))
    });
    app.endpoint("POST /s/pass").body_bytes_max(16 << 20).handle(async |req: Request| -> Answer {
        let call = req.call("POST /s/count");
        let mut body = req.into_body();
        let mut reply = call
            .stream(|tx| async move {
                while let Some(piece) = body.chunk().await {
                    tx.send(piece?).await?;
                }
                Ok(())
            })
            .await?;
        Ok(Response::text(text(&mut reply).await?).with_status(reply.status()))
    });
    app.get("/s/pull/{pieces}", async |req: Request| -> Answer {
        let reply = req.call(&format!("GET /s/stream/{}", req.param("pieces").unwrap_or_default())).await?;
        let status = reply.status();
        let mut body = reply.into_body();
        let streamed = Response::stream(|tx| async move {
            while let Some(piece) = body.chunk().await {
                tx.send(piece?).await?;
            }
            Ok(())
        });
        Ok(streamed.with_status(status))
    });
}

fn nested(app: &mut App) {
    app.get("/s/nest/{depth}", async |req: Request| -> Answer {
        let depth: u32 = req.param("depth").unwrap_or_default().parse()?;
        if depth == 0 {
            return Ok(Response::text("bottom"));
        }
        Ok(match req.call(&format!("GET /s/nest/{}", depth - 1)).await {
            Ok(mut reply) => Response::text(text(&mut reply).await?).with_status(reply.status()),
            Err(error) => Response::text(error.code),
        })
    });
    app.get("/s/loop", async |req: Request| -> Answer {
        Ok(match req.call("GET /s/loop").await {
            Ok(reply) => Response::text(reply.status().to_string()),
            Err(error) => Response::text(error.code),
        })
    });
}
