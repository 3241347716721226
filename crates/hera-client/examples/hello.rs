//! A whole worker: `HERA=hera://127.0.0.1:4372 SECRET=herakey_… cargo run --example hello`.

use hera_client::{App, Error, Request, Response};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut app = App::new();

    app.get("/0/hello/{name}", async |req: Request| {
        Response::json(&json!({ "hello": req.param("name"), "caller": req.caller().token() }))
    });

    hera_client::serve(app).await
}
