//! Replays the cases of `spec/vectors` that concern paths, patterns, routes, scopes and declarations.

#![allow(clippy::unwrap_used)] // A case that cannot be read has to stop the test.

use hera_route::{Endpoint, Lookup, Prefix, Scope, TableBuilder, canonical, decode};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

#[test]
fn paths_take_their_canonical_form_or_are_refused() {
    for case in cases("paths") {
        let (name, path) = (text(&case, "name"), text(&case, "path"));
        match canonical(path.as_bytes()) {
            Ok(path) => {
                assert_eq!(Some(&*path), case["canonical"].as_str(), "{name}");
                assert_eq!(canonical(path.as_bytes()).as_deref(), Ok(&*path), "{name}: twice");
            }
            Err(reason) => assert_eq!(case["error"], "bad_path", "{name}: {reason}"),
        }
    }
}

#[test]
fn endpoints_have_their_shape_or_are_refused() {
    for case in cases("patterns") {
        let (name, declared) = (text(&case, "name"), text(&case, "endpoint"));
        match Endpoint::parse(declared) {
            Ok(endpoint) => {
                assert_eq!(case["method"], endpoint.method(), "{name}");
                assert_eq!(case["shape"], endpoint.shape(), "{name}");
                assert_eq!(case["names"], json!(endpoint.pattern().names().collect::<Vec<_>>()), "{name}");
                assert_eq!(endpoint.to_string(), declared, "{name}");
            }
            Err(reason) => assert_eq!(case["error"], "bad_endpoint", "{name}: {reason}"),
        }
    }
}

#[test]
fn calls_find_their_endpoint() {
    for case in cases("routes") {
        let name = text(&case, "name");
        let mut builder = TableBuilder::new();
        for endpoint in list(&case, "endpoints") {
            let endpoint = endpoint_of(endpoint.as_str().unwrap());
            assert!(builder.insert(&endpoint, endpoint.clone()).is_none(), "{name}: {endpoint} twice");
        }
        let table = builder.build();
        for request in list(&case, "requests") {
            let (method, path) = (text(request, "method"), text(request, "path"));
            assert_eq!(canonical(path.as_bytes()).as_deref(), Ok(path), "{name}: not canonical");
            let (route, params, allow) = match table.lookup(method, path) {
                Lookup::Found { value, params } => {
                    let named: Map<String, Value> = value
                        .pattern()
                        .names()
                        .zip(&params)
                        .map(|(n, p)| (n.into(), decode(&path[p.start as usize..p.end as usize]).into()))
                        .collect();
                    (json!(value.to_string()), named, vec![])
                }
                Lookup::MethodNotAllowed { allow } => (Value::Null, Map::new(), allow),
                Lookup::NotFound => (Value::Null, Map::new(), vec![]),
            };
            assert_eq!(request["route"], route, "{name}: {method} {path}");
            assert_eq!(request["params"], json!(params), "{name}: {method} {path}");
            assert_eq!(request["allow"], json!(allow), "{name}: {method} {path}");
        }
    }
}

#[test]
fn scopes_allow_and_prefixes_cover_and_overlap() {
    for case in cases("scopes") {
        let name = text(&case, "name");
        if case.get("scopes").is_some() {
            let scopes: Vec<Scope> =
                list(&case, "scopes").iter().map(|s| Scope::parse(s.as_str().unwrap()).unwrap()).collect();
            for request in list(&case, "requests") {
                let (method, path) = (text(request, "method"), text(request, "path"));
                let allowed = scopes.iter().any(|scope| scope.allows(method, path));
                assert_eq!(request["allowed"], allowed, "{name}: {method} {path}");
            }
        } else if case.get("prefixes").is_some() {
            let prefixes = prefixes(&case, "prefixes");
            for entry in list(&case, "endpoints") {
                let endpoint = endpoint_of(text(entry, "endpoint"));
                let inside = prefixes.iter().any(|prefix| prefix.covers(endpoint.pattern()));
                assert_eq!(entry["inside"], inside, "{name}: {endpoint}");
            }
        } else {
            let (a, b) = (Prefix::parse(text(&case, "a")).unwrap(), Prefix::parse(text(&case, "b")).unwrap());
            assert_eq!(case["overlap"], a.overlaps(&b), "{name}");
            assert_eq!(case["overlap"], b.overlaps(&a), "{name}, the other way round");
        }
    }
}

#[test]
fn declarations_are_judged_endpoint_by_endpoint() {
    for case in cases("declarations") {
        let (name, serve) = (text(&case, "name"), prefixes(&case, "serve"));
        let endpoints = list(&case["params"], "endpoints");
        // Limits are judged by `hera-protocol`; here are only patterns, and what is refused for a limit has no other fault.
        let by_limits = |endpoint: &Value| endpoint.as_object().is_some_and(|members| members.len() > 1);
        if case.get("refused").is_some() && endpoints.iter().any(by_limits) {
            continue;
        }
        let mut shapes = HashSet::new();
        let judge = |declared: &str| match Endpoint::parse(declared) {
            Err(_) => Some("bad_endpoint"),
            Ok(e) if !serve.iter().any(|prefix| prefix.covers(e.pattern())) => Some("endpoint_forbidden"),
            Ok(e) if !shapes.insert(e.shape()) => Some("duplicate_endpoint"),
            Ok(_) => None,
        };
        let codes: Vec<_> = endpoints.iter().map(|e| text(e, "endpoint")).map(judge).collect();
        let refused: Vec<Value> = endpoints
            .iter()
            .zip(&codes)
            .filter_map(|(e, code)| Some(json!({"endpoint": e["endpoint"], "code": (*code)?})))
            .collect();
        match case.get("refused") {
            Some(expected) => assert_eq!(*expected, json!(refused), "{name}"),
            None => assert_eq!((&case["accepted"], refused), (&json!(endpoints.len()), vec![]), "{name}"),
        }
    }
}

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../../spec/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut file: Value = serde_json::from_str(&json).unwrap();
    match file["cases"].take() {
        Value::Array(cases) if !cases.is_empty() => cases,
        _ => panic!("{path}: no cases"),
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no text {member} in {value}"))
}

fn list<'a>(value: &'a Value, member: &str) -> &'a Vec<Value> {
    value[member].as_array().unwrap_or_else(|| panic!("no list {member} in {value}"))
}

fn prefixes(case: &Value, member: &str) -> Vec<Prefix> {
    list(case, member).iter().map(|prefix| Prefix::parse(prefix.as_str().unwrap()).unwrap()).collect()
}

fn endpoint_of(declared: &str) -> Endpoint {
    Endpoint::parse(declared).unwrap_or_else(|reason| panic!("{declared}: {reason}"))
}
