//! Replays `spec/vectors/declarations.json`: what a broker answers to a `declare` (P-28 to P-30).

use hera_broker::worker::declaration::judge;
use hera_protocol::message::declare::Declare;
use hera_registry::KeyRecord;
use hera_route::scope::Prefix;
use serde_json::Value;

#[test]
fn declarations_are_judged_as_the_vectors_say() {
    let text = std::fs::read_to_string("../../spec/vectors/declarations.json").unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let mut differing = Vec::new();
    for case in vectors["cases"].as_array().unwrap() {
        let serve = case["serve"].as_array().unwrap().iter();
        let key = KeyRecord {
            id: "0123456789abcdef".into(),
            name: "service".into(),
            public: [0; 32],
            serve: serve.map(|prefix| Prefix::parse(prefix.as_str().unwrap()).unwrap()).collect(),
            call: Vec::new(),
            share: false,
            created: 0,
        };
        let declare: Declare = serde_json::from_value(case["params"].clone()).unwrap();
        let given = match judge(declare, &key) {
            Ok(accepted) => serde_json::json!({ "accepted": accepted.len() }),
            Err(refused) => {
                let refused: Vec<Value> = refused
                    .iter()
                    .map(|refused| serde_json::json!({ "endpoint": refused.endpoint, "code": refused.code }))
                    .collect();
                serde_json::json!({ "refused": refused })
            }
        };
        let wanted = match case.get("refused") {
            Some(refused) => serde_json::json!({ "refused": refused }),
            None => serde_json::json!({ "accepted": case["accepted"] }),
        };
        if given != wanted {
            differing.push(format!("{}: wanted {wanted}, given {given}", case["name"]));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
