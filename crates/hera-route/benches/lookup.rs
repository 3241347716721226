//! What a call pays for its path at 10,000 endpoints, and what patterns chosen to hurt can make it pay.
//!
//! `cargo bench -p hera-route` prints nanoseconds; they are numbers for people, and nothing fails by them.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use hera_route::{Endpoint, Lookup, Table, TableBuilder, canonical};
use std::hint::black_box;
use std::time::Instant;

fn main() {
    let table = table((0..10_000).map(|n| {
        let (service, noun) = (n / 20, n % 20 / 4);
        match n % 4 {
            0 => format!("GET /0/service-{service}/noun-{noun}/{{id}}"),
            1 => format!("PUT /0/service-{service}/noun-{noun}/{{id}}"),
            2 => format!("GET /0/service-{service}/noun-{noun}/{{id}}/parts/{{part}}"),
            _ => format!("* /0/service-{service}/noun-{noun}/files/{{*rest}}"),
        }
    }));
    assert_eq!(table.len(), 10_000);
    let paths: Vec<String> = (0..2_000)
        .map(|n| format!("/0/service-{}/noun-{}/{}/parts/{n}", n * 7919 % 500, n % 5, n * 31))
        .collect();
    per_call("canonical, plain", &paths, |path| canonical(path.as_bytes()).is_ok());
    let escaped: Vec<String> = paths.iter().map(|path| format!("{path}/caf%C3%A9%20x")).collect();
    per_call("canonical, with escapes", &escaped, |path| canonical(path.as_bytes()).is_ok());
    per_call("lookup, found", &paths, |path| matches!(table.lookup("GET", path), Lookup::Found { .. }));
    let not_allowed = |path: &str| matches!(table.lookup("POST", path), Lookup::MethodNotAllowed { .. });
    per_call("lookup, 405", &paths, not_allowed);
    let missing: Vec<String> = paths.iter().map(|path| format!("{path}/more")).collect();
    per_call("lookup, 404", &missing, |path| matches!(table.lookup("GET", path), Lookup::NotFound));

    for (what, chain) in [("hostile, texts", "/a/a"), ("hostile, mixed", "/a/{}")] {
        let table = hostile(chain);
        per_call(what, &["/a".repeat(64)], |path| table.lookup("GET", path) == Lookup::NotFound);
    }
}

fn table(endpoints: impl Iterator<Item = String>) -> Table<usize> {
    let mut builder = TableBuilder::new();
    for (index, endpoint) in endpoints.enumerate() {
        builder.insert(&Endpoint::parse(&endpoint).unwrap(), index);
    }
    builder.build()
}

/// The 1,000 endpoints that one worker may declare, so that a lookup has to try all of them to their ends.
fn hostile(chain: &str) -> Table<usize> {
    table((0..1_000u32).map(|mix| {
        let mut text = String::from("GET ");
        for bit in 0..10 {
            text += &if mix >> bit & 1 == 0 { "/a".to_owned() } else { format!("/{{p{bit}}}") };
        }
        for link in 0..26 {
            text += &chain.replace("{}", &format!("{{q{link}}}"));
        }
        text + "/a/end"
    }))
}

fn per_call(what: &str, paths: &[String], call: impl Fn(&str) -> bool) {
    assert!(paths.iter().all(|path| call(path)), "{what}");
    let rounds = 200_000 / paths.len().max(200);
    let start = Instant::now();
    for path in (0..rounds).flat_map(|_| paths) {
        black_box(call(black_box(path)));
    }
    let nanoseconds = start.elapsed().as_nanos() / (rounds * paths.len()) as u128;
    println!("{what:<24} {nanoseconds:>9} ns");
}
