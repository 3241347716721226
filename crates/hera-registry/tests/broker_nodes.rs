//! Brokers' nodes as a worker reads them: `spec/vectors/broker_nodes.json`, the same cases for every language.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use hera_registry::zookeeper::Dial;
use serde_json::Value;

fn bytes(case: &Value) -> Vec<u8> {
    let mut bytes = match (&case["data"], &case["data_hex"]) {
        (Value::String(text), _) => text.clone().into_bytes(),
        (_, Value::String(hex)) => hera_protocol::key::unhex(hex).unwrap(),
        _ => panic!("no data in {case}"),
    };
    if let Some(padded) = case["padded_bytes"].as_u64() {
        bytes.resize(padded as usize, b' ');
    }
    bytes
}

#[test]
fn nodes_are_dialled_or_skipped_as_the_vectors_say() {
    let text = std::fs::read_to_string("../../spec/vectors/broker_nodes.json").unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        let dial = Dial::from_json(case["node"].as_str().unwrap(), &bytes(case));
        let found = dial.map(|dial| {
            let tls = dial.tls();
            serde_json::json!({"host": dial.address, "port": dial.port, "tls": tls})
        });
        assert_eq!(found.unwrap_or_default(), case["address"], "{}", case["name"]);
    }
}
