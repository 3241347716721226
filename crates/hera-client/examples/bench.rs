//! The worker of `bench/middle.mjs`: one endpoint, 150 bytes of JSON, one thread.

use hera_client::{App, Error, Request, Response};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let body = serde_json::json!({ "id": 42, "name": "bench", "text": "x".repeat(114) });
    let body = bytes::Bytes::from(serde_json::to_vec(&body).unwrap_or_default());
    let mut app = App::new();
    app.get("/0/bench", move |_: Request| {
        let body = body.clone();
        async move { Response::bytes(body).header("content-type", "application/json") }
    });
    hera_client::serve(app).await
}
