//! `hera key create|list|update|revoke|rotate`.

use hera_registry::{KeyChange, NewKey};
use serde_json::Value;

use crate::args::{CreateKey, Named, UpdateKey, Where};
use crate::failure::Failure;
use crate::output;
use crate::table::table;
use crate::target::{Missing, Target, as_json, in_path};
use crate::time::rfc3339;
use crate::token::{text, texts};

pub(crate) fn create(args: CreateKey) -> Result<(), Failure> {
    let new = NewKey { name: args.name, serve: args.serve, call: args.call, share: args.share };
    let made = Target::open(&args.at, Missing::Make)?.ask("POST", "/v1/keys", as_json(&new))?;
    if new.serve.is_empty() && new.call.is_empty() {
        output::tell("note: without --serve and --call it may do nothing");
    }
    print(&made, args.at.json)
}

pub(crate) fn list(at: &Where) -> Result<(), Failure> {
    let keys = Target::open(at, Missing::Refuse)?.list("/v1/keys")?;
    if at.json {
        return output::json(&keys);
    }
    let row = |key: &Value| {
        vec![
            text(&key["id"]),
            text(&key["name"]),
            texts(&key["serve"]),
            texts(&key["call"]),
            if key["share"] == true { "yes".to_owned() } else { "no".to_owned() },
            key["created"].as_u64().map(rfc3339).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = keys.as_array().into_iter().flatten().map(row).collect();
    output::result(&table(&["id", "service", "serve", "call", "share", "created"], &rows))
}

pub(crate) fn update(args: UpdateKey) -> Result<(), Failure> {
    let change = KeyChange {
        serve: (args.serve_nothing || !args.serve.is_empty()).then_some(args.serve),
        call: (args.call_nothing || !args.call.is_empty()).then_some(args.call),
        share: (args.share || args.no_share).then_some(args.share),
    };
    let target = Target::open(&args.at, Missing::Refuse)?;
    let now = target.ask("PATCH", &format!("/v1/keys/{}", in_path(&args.name)?), as_json(&change))?;
    if args.at.json {
        return output::json(&now);
    }
    let (serve, call) = (texts(&now["serve"]), texts(&now["call"]));
    output::tell(&format!("key {} now serves [{serve}] and calls [{call}]", text(&now["name"])));
    Ok(())
}

pub(crate) fn revoke(args: &Named) -> Result<(), Failure> {
    let target = Target::open(&args.at, Missing::Refuse)?;
    let was = target.ask("DELETE", &format!("/v1/keys/{}", in_path(&args.name)?), Value::Null)?;
    if args.at.json {
        return output::json(&was);
    }
    output::tell(&format!("revoked key {} ({})", text(&was["name"]), text(&was["id"])));
    Ok(())
}

pub(crate) fn rotate(args: &Named) -> Result<(), Failure> {
    let target = Target::open(&args.at, Missing::Refuse)?;
    let made = target.ask("POST", &format!("/v1/keys/{}/rotate", in_path(&args.name)?), Value::Null)?;
    print(&made, args.at.json)
}

/// The key alone on stdout.
fn print(made: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(made);
    }
    output::tell(&format!(
        "worker key {} ({}); it is shown only now:",
        text(&made["name"]),
        text(&made["id"])
    ));
    output::result(&text(&made["key"]))
}
