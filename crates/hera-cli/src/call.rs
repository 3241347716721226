//! `hera call`: a program that only calls, as any service may be one.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use hera_client::{App, CallError, Error, Executed, Options, Reply};
use serde_json::{Map, Value, json};

use crate::args::Call;
use crate::failure::Failure;
use crate::output;
use crate::target::{block_on, variable};

const LOCAL: &str = "hera://127.0.0.1:4372";
/// A worker dials for ever; a person wants to know.
const CONNECT: Duration = Duration::from_secs(5);

pub(crate) fn run(args: Call) -> Result<(), Failure> {
    let data = args.data.as_deref().map(read_data).transpose()?;
    let timeout = args.timeout.as_deref().map(read_timeout).transpose()?;
    let brokers = args.brokers.clone().or_else(|| variable("HERA")).unwrap_or_else(|| LOCAL.to_owned());
    let mut headers = Vec::new();
    for header in &args.header {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| Failure::usage(format!("header {header:?} is not 'Name: value'")))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }

    block_on(async {
        let mut options = Options::new().brokers(&brokers).signals(false);
        if let Some(file) = args.ca_file {
            options = options.ca_file(file);
        }
        let connecting = tokio::time::timeout(CONNECT, App::with(options).connect()).await;
        let client = connecting
            .map_err(|_| Failure::new(format!("no broker of {brokers} answered in {} s", CONNECT.as_secs())))?
            .map_err(not_connected)?;
        let mut call = client.call(&format!("{} {}", args.method, args.path));
        for (name, value) in headers {
            call = call.header(name, value);
        }
        if let Some(data) = data {
            call = call.body(data);
        }
        if let Some(timeout) = timeout {
            call = call.timeout(timeout);
        }
        let reply = call.await.map_err(failed)?;
        let status = reply.status();
        if args.json {
            as_json(reply).await?
        } else {
            as_it_comes(reply).await?
        }
        client.drain().await;
        if status < 400 { Ok(()) } else { Err(Failure::new(format!("the worker answered {status}"))) }
    })?
}

/// The body piece by piece, so that one of any length needs no memory.
async fn as_it_comes(reply: Reply) -> Result<(), Failure> {
    let millis = reply.took().as_secs_f64() * 1000.0;
    output::tell(&format!("{} from {} in {millis:.1} ms", reply.status(), reply.worker()));
    let mut body = reply.into_body();
    while let Some(piece) = body.chunk().await {
        let piece = piece.map_err(|error| Failure::new(format!("the answer broke off: {error}")))?;
        output::bytes(&piece)?;
    }
    Ok(())
}

/// All of it in one object; the body is at most what the library gathers, 16 MiB.
async fn as_json(mut reply: Reply) -> Result<(), Failure> {
    let body = reply.body().await.map_err(failed)?;
    let mut headers = Map::new();
    for (name, value) in reply.headers() {
        // Of a name that stands twice, all values in a list.
        match headers.get_mut(name) {
            None => drop(headers.insert(name.to_owned(), json!(value))),
            Some(Value::Array(values)) => values.push(json!(value)),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    let body = serde_json::from_slice::<Value>(&body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    output::json(&json!({
        "status": reply.status(),
        "headers": headers,
        "body": body,
        "worker": reply.worker(),
        "attempts": reply.attempts(),
    }))
}

fn read_data(data: &str) -> Result<Bytes, Failure> {
    let Some(file) = data.strip_prefix('@') else { return Ok(Bytes::from(data.to_owned())) };
    let cannot = |error: std::io::Error| Failure::new(format!("{file}: {error}"));
    if file == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(cannot)?;
        return Ok(bytes.into());
    }
    std::fs::read(PathBuf::from(file)).map(Bytes::from).map_err(cannot)
}

/// As in the header `Hera-Timeout`.
fn read_timeout(text: &str) -> Result<Duration, Failure> {
    let bad = || Failure::usage(format!("timeout {text:?} is not a number with ms or s, from 1ms to 300s"));
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').ok_or_else(bad)?, 1000),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let millis = number.checked_mul(unit).filter(|millis| (1..=300_000).contains(millis)).ok_or_else(bad)?;
    Ok(Duration::from_millis(millis))
}

fn not_connected(error: Error) -> Failure {
    match error {
        Error::Options { .. } => {
            Failure::configuration(format!("{error}, as hera key create --name NAME --call 'GET /0/**' does"))
        }
        other => Failure::new(other.to_string()),
    }
}

fn failed(error: CallError) -> Failure {
    let executed = match error.executed {
        Executed::No => "no worker started on it",
        Executed::Maybe => "a worker may have started on it",
    };
    let id = error.request_id.as_deref().map(|id| format!(", request id {id}")).unwrap_or_default();
    Failure::new(format!("{} {}: {} ({executed}{id})", error.status, error.code, error.message))
}
