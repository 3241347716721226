//! `hera token create|list|revoke|rotate`.

use hera_registry::NewToken;
use serde_json::Value;

use crate::args::{CreateToken, Named, Where};
use crate::failure::Failure;
use crate::output;
use crate::table::table;
use crate::target::{Missing, Target, as_json, in_path};
use crate::time::{now_unix, rfc3339};

pub(crate) fn create(args: CreateToken) -> Result<(), Failure> {
    let new = NewToken {
        name: args.name.unwrap_or_default(),
        anonymous: args.anonymous,
        allow: args.allow,
        rate: args.rate,
        expires: args.expires,
        labels: args.labels.into_iter().collect(),
    };
    let made = Target::open(&args.at, Missing::Make)?.ask("POST", "/v1/tokens", as_json(&new))?;
    if new.allow.is_empty() {
        output::tell("note: without --allow it may call nothing");
    }
    print(&made, args.at.json)
}

pub(crate) fn list(at: &Where) -> Result<(), Failure> {
    let tokens = Target::open(at, Missing::Refuse)?.list("/v1/tokens")?;
    if at.json {
        return output::json(&tokens);
    }
    let now = now_unix();
    let row = |token: &Value| {
        let expires = token["expires"].as_u64().map(|expires| match expires <= now {
            true => format!("{} (expired)", rfc3339(expires)),
            false => rfc3339(expires),
        });
        vec![
            text(&token["id"]),
            text(&token["name"]),
            texts(&token["allow"]),
            text(&token["rate"]),
            expires.unwrap_or_default(),
            labels(&token["labels"]),
            token["created"].as_u64().map(rfc3339).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = tokens.as_array().into_iter().flatten().map(row).collect();
    output::result(&table(&["id", "name", "scopes", "rate", "expires", "labels", "created"], &rows))
}

pub(crate) fn revoke(args: &Named) -> Result<(), Failure> {
    let target = Target::open(&args.at, Missing::Refuse)?;
    let was = target.ask("DELETE", &format!("/v1/tokens/{}", in_path(&args.name)?), Value::Null)?;
    if args.at.json {
        return output::json(&was);
    }
    output::tell(&format!("revoked token {} ({})", text(&was["name"]), text(&was["id"])));
    Ok(())
}

pub(crate) fn rotate(args: &Named) -> Result<(), Failure> {
    let target = Target::open(&args.at, Missing::Refuse)?;
    let made = target.ask("POST", &format!("/v1/tokens/{}/rotate", in_path(&args.name)?), Value::Null)?;
    print(&made, args.at.json)
}

/// The token alone on stdout; the anonymous record has none, and stdout stays empty.
fn print(made: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(made);
    }
    match made["token"].as_str() {
        Some(token) => {
            output::tell(&format!(
                "token {} ({}); it is shown only now:",
                text(&made["name"]),
                text(&made["id"])
            ));
            output::result(token)
        }
        None => {
            output::tell("made the record for calls without a token");
            Ok(())
        }
    }
}

/// A text of an answer, or nothing.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A list of texts in one cell.
pub(crate) fn texts(value: &Value) -> String {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn labels(value: &Value) -> String {
    let labels = value.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value)));
    labels.collect::<Vec<_>>().join(", ")
}
