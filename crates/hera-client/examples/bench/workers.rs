//! Workers, as many sessions as wanted in one process.

use crate::answers;
use bytes::Bytes;
use hera_client::{App, Error, Options, Request, Response};

/// Connects one session after the other and serves until the process is ended.
pub(crate) async fn serve(sessions: u16, app: impl Fn(u16) -> App) -> Result<(), Error> {
    let mut clients = Vec::new();
    for worker in 0..sessions {
        clients.push(app(worker).connect().await?);
    }
    std::future::pending().await
}

/// The four jobs.
pub(crate) fn jobs() -> App {
    let (small, large) = (answers::small(), answers::large());
    let slow = small.clone();
    let mut app = App::with(Options::new());
    app.get("/0/small", move |_: Request| std::future::ready(json(small.clone())));
    app.get("/0/large", move |_: Request| std::future::ready(Response::bytes(large.clone())));
    app.get("/0/slow", move |_: Request| {
        let body = slow.clone();
        async move {
            tokio::time::sleep(answers::SLOW).await;
            json(body)
        }
    });
    app.post("/0/echo", async |mut req: Request| match req.body().await {
        Ok(body) => Response::bytes(body),
        Err(_) => Response::new(400),
    });
    app
}

/// `endpoints` of this worker alone.
pub(crate) fn own(worker: u16, endpoints: u16) -> App {
    let small = answers::small();
    let mut app = App::with(Options::new());
    for n in 0..endpoints {
        let body = small.clone();
        let pattern = format!("/0/crowd/{worker}/{n}/{{id}}");
        app.get(&pattern, move |_: Request| std::future::ready(json(body.clone())));
    }
    app
}

fn json(body: Bytes) -> Response {
    Response::bytes(body).header("content-type", "application/json")
}
