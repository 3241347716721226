//! Plays `spec/scenarios`: steps that a client library of any language has to pass, between a real broker, a caller and its worker.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod file;
mod player;

use player::{Language, play};
use std::collections::BTreeSet;

macro_rules! scenarios {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        mod rust {
            $(#[test]
            fn $name() {
                super::play(stringify!($name), super::Language::Rust);
            })*
        }
        mod node {
            $(#[test]
            fn $name() {
                super::play(stringify!($name), super::Language::Node);
            })*
        }
        mod java {
            $(#[test]
            fn $name() {
                super::play(stringify!($name), super::Language::Java);
            })*
        }
    };
}

scenarios! {
    broker_lost call cancel deadline declare drain error hand_over reconnect refused_declaration refused_key
    remote_broker_lost remote_call remote_context remote_deadline remote_drain remote_nesting remote_stream stream
}

#[test]
fn every_file_is_played() {
    let files = std::fs::read_dir(file::folder()).unwrap();
    let names =
        files.filter_map(|file| file.unwrap().file_name().to_str()?.strip_suffix(".json").map(str::to_owned));

    assert_eq!(names.collect::<BTreeSet<_>>(), NAMES.iter().map(ToString::to_string).collect());
}
