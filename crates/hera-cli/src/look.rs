//! `hera brokers`, `hera workers`, `hera endpoints`: what a broker sees.

use serde_json::Value;

use crate::admin_client::query_escaped;
use crate::args::{EndpointsArgs, EndpointsVerb, Forget, Where};
use crate::failure::Failure;
use crate::output;
use crate::table::table;
use crate::target::{Missing, Target};
use crate::time::{ago, now_unix};

pub(crate) fn brokers(at: &Where) -> Result<(), Failure> {
    let members = ["id", "state", "http", "workers", "admin", "version", "started"];
    match Target::open(at, Missing::Refuse)?.registered()? {
        Some(registered) => print(&registered, &members, at.json),
        None => show(at, "/v1/brokers", &members),
    }
}

pub(crate) fn workers(at: &Where) -> Result<(), Failure> {
    let members = [
        "service",
        "version",
        "instance",
        "state",
        "in_flight",
        "cpu",
        "rss_bytes",
        "ping_ms",
        "endpoints",
        "connected",
    ];
    show(at, "/v1/workers", &members)
}

pub(crate) fn endpoints(args: &EndpointsArgs) -> Result<(), Failure> {
    match &args.verb {
        Some(EndpointsVerb::Forget(args)) => forget(args),
        None => {
            let target = Target::open(&args.at, Missing::Refuse)?;
            // Only a running broker knows who serves an endpoint.
            let members: &[&str] = match target.is_registry() {
                true => &["endpoint", "service", "timeout_ms", "body_bytes_max", "idempotent", "last_seen"],
                false => &[
                    "endpoint",
                    "service",
                    "workers",
                    "calls",
                    "p50_ms",
                    "p99_ms",
                    "timeout_ms",
                    "body_bytes_max",
                    "idempotent",
                ],
            };
            print(&target.list("/v1/endpoints")?, members, args.at.json)
        }
    }
}

fn forget(args: &Forget) -> Result<(), Failure> {
    let target = Target::open(&args.at, Missing::Refuse)?;
    let path = format!("/v1/endpoints?endpoint={}", query_escaped(&args.endpoint));
    let gone = target.ask("DELETE", &path, Value::Null)?;
    if args.at.json {
        return output::json(&gone);
    }
    output::tell(&format!("forgot {}", args.endpoint));
    Ok(())
}

fn show(at: &Where, path: &str, members: &[&str]) -> Result<(), Failure> {
    let target = Target::open(at, Missing::Refuse)?;
    if target.is_registry() {
        let text = "only a running broker knows this; name its admin address by --admin";
        return Err(Failure::refused("bad_target", text));
    }
    print(&target.list(path)?, members, at.json)
}

/// The list as it came, or as a table of these members.
fn print(list: &Value, members: &[&str], json: bool) -> Result<(), Failure> {
    if json {
        return output::json(list);
    }
    let now = now_unix();
    let row = |item: &Value| members.iter().map(|member| cell(member, &item[*member], now)).collect();
    let rows: Vec<Vec<String>> = list.as_array().into_iter().flatten().map(row).collect();
    output::result(&table(members, &rows))
}

fn cell(member: &str, value: &Value, now_unix: u64) -> String {
    match (member, value) {
        ("started" | "connected" | "last_seen", Value::Number(number)) => {
            number.as_u64().map_or_else(|| number.to_string(), |unix| ago(unix, now_unix))
        }
        ("cpu", Value::Number(number)) => format!("{:.0}%", number.as_f64().unwrap_or_default() * 100.0),
        (_, Value::Null) => String::new(),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Bool(truth)) => if *truth { "yes" } else { "no" }.to_owned(),
        (_, Value::Array(items)) => items.len().to_string(),
        (_, other) => other.to_string(),
    }
}
