//! A million spellings that aim from a scope at what lies outside of it: none gets there.

#![allow(clippy::unwrap_used)] // What cannot be set up has to stop the test.

mod careless;
mod variants;

use careless::{Habit, lands};
use hera_route::{Endpoint, Lookup, Scope, Table, TableBuilder, canonical};
use std::thread;
use variants::{seed, variant};

const VARIANTS: u64 = 1_000_000;

/// The public and the secret, and neighbours that are easily taken for one of them.
const ENDPOINTS: [&str; 12] = [
    "* /0/public",
    "* /0/public/{*rest}",
    "GET /0/public/{id}/keys",
    "* /0/secret",
    "* /0/secret/{*rest}",
    "* /0/publicity/{*rest}",
    "* /0/public./{*rest}",
    "* /0/..;/{*rest}",
    "* /0/{area}/secret",
    "* /0/{area}/secret/x",
    "* /{*rest}",
    "* /secret/{*rest}",
];

/// What became of some variants.
#[derive(Debug, Default)]
struct Tally {
    accepted: u64,
    in_scope: u64,
    routed_to_secret: u64,
    /// Raw variants that lead a careless reader to the secret.
    aimed: u64,
    /// Those in scope that lead one with this habit outside.
    literal: [u64; Habit::ALL.len()],
}

#[test]
fn a_million_spellings_leave_no_scope() {
    let seed = seed();
    println!("SEED={seed}");
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let tallies = thread::scope(|scope| {
        let each = |first| scope.spawn(move || run(seed, (first..VARIANTS).step_by(threads as usize)));
        let running: Vec<_> = (0..threads).map(each).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();

    println!("{tallies:#?}");
    // A generator or a reader that has gone blunt would find nothing wrong either.
    assert!(sum(|tally| tally.accepted) > VARIANTS / 20);
    assert!(sum(|tally| tally.in_scope) > VARIANTS / 50);
    assert!(sum(|tally| tally.routed_to_secret) > 100);
    assert!(sum(|tally| tally.aimed) > VARIANTS / 50);
    for (at, habit) in Habit::ALL.into_iter().enumerate() {
        assert!(tallies.iter().map(|tally| tally.literal[at]).sum::<u64>() > 0, "{habit:?}");
    }
}

fn run(seed: u64, numbers: impl Iterator<Item = u64>) -> Tally {
    let table = table();
    let scope = Scope::parse("* /0/public/**").unwrap();
    let mut tally = Tally::default();
    for n in numbers {
        let raw = variant(seed, n);
        // What is behind `?` is no path, for the broker neither.
        let raw = raw.split(|byte| *byte == b'?').next().unwrap();
        tally.aimed += u64::from(lands(raw, &[]).starts_with(b"/0/secret"));
        let Ok(path) = canonical(raw) else { continue };
        let shown = || format!("SEED={seed} n={n} raw={:?} canonical={path}", String::from_utf8_lossy(raw));
        tally.accepted += 1;
        let endpoint = match table.lookup("GET", &path) {
            Lookup::Found { value, .. } => *value,
            other => {
                assert!(&*path == "/", "{} has no route: {other:?}", shown());
                continue;
            }
        };
        if !scope.allows("GET", &path) {
            tally.routed_to_secret += u64::from(endpoint.contains(" /0/secret"));
            continue;
        }
        tally.in_scope += 1;

        let (_, pattern) = endpoint.split_once(' ').unwrap();
        assert!(pattern == "/0/public" || pattern.starts_with("/0/public/"), "{} to {endpoint}", shown());

        // What the worker gets is the canonical path, or the raw one (`req.originalUrl`): neither leads out.
        for text in [path.as_bytes(), raw] {
            let served = lands(text, &[]);
            assert!(is_public(&served), "{} served {:?}", shown(), String::from_utf8_lossy(&served));
        }
        for (at, habit) in Habit::ALL.into_iter().enumerate() {
            let served = lands(path.as_bytes(), &[habit]);
            if !is_public(&served) {
                assert!(habit.finds_something_in(&path), "{} {habit:?}", shown());
                tally.literal[at] += 1;
            }
        }
        let served = lands(path.as_bytes(), &Habit::ALL);
        let excused = || Habit::ALL.iter().any(|habit| habit.finds_something_in(&path));
        assert!(is_public(&served) || excused(), "{}", shown());
    }
    tally
}

fn is_public(served: &[u8]) -> bool {
    served == b"/0/public" || served.starts_with(b"/0/public/")
}

fn table() -> Table<&'static str> {
    let mut builder = TableBuilder::new();
    for endpoint in ENDPOINTS {
        assert!(builder.insert(&Endpoint::parse(endpoint).unwrap(), endpoint).is_none());
    }
    builder.build()
}

#[test]
fn a_careless_reader_is_careless() {
    for raw in [
        "/0/public/../secret",
        "/0/public/%2e%2E/secret",
        "/0/public/..\\secret",
        "/0/public%5c..%2fsecret",
        "/0/public//..///..//0/secret",
        "/0/public/%c0%ae%c0%ae%c0%afsecret",
        "/0/public/%u002e%u002e/SECRET",
        "/0/public/../secret%00.html",
        "/0/public/../secret#x",
    ] {
        assert_eq!(lands(raw.as_bytes(), &[]), b"/0/secret", "{raw}");
    }
    for (raw, habit) in [
        ("/0/public/%252e%252e/secret", Habit::DecodesAgain),
        ("/0/public/%25252e./secret", Habit::DecodesAgain),
        ("/0/public/..;x=y/secret", Habit::DropsParameters),
        ("/0/public/%ef%bc%8e%ef%bc%8e/secret", Habit::FoldsLookAlikes),
        ("/0/public/..%20/secret", Habit::TrimsSpaces),
    ] {
        assert_eq!(lands(raw.as_bytes(), &[habit]), b"/0/secret", "{raw}");
        assert!(is_public(&lands(raw.as_bytes(), &[])), "{raw}");
    }
}
