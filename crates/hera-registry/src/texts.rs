//! Lists of scopes and prefixes: strings in a file, parsed once when they come in.

use std::fmt::Display;

use hera_route::{Prefix, Scope};
use serde::{Deserialize, Deserializer, Serializer, de};

use crate::error::Error;

/// More patterns than anybody writes by hand, and few enough to try one after the other.
const PATTERNS_MAX: usize = 1_000;

/// A pattern that stands in a record as its text.
pub(crate) trait Text: Sized + Display {
    /// Reads the text; the error carries it.
    fn read(text: &str) -> Result<Self, Error>;
    /// The error for `text`.
    fn refuse(text: &str, reason: String) -> Error;
}

impl Text for Scope {
    fn read(text: &str) -> Result<Scope, Error> {
        Scope::parse(text).map_err(|error| Scope::refuse(text, error.to_string()))
    }

    fn refuse(text: &str, reason: String) -> Error {
        Error::BadScope { scope: shown(text), reason }
    }
}

impl Text for Prefix {
    fn read(text: &str) -> Result<Prefix, Error> {
        Prefix::parse(text).map_err(|error| Prefix::refuse(text, error.to_string()))
    }

    fn refuse(text: &str, reason: String) -> Error {
        Error::BadPrefix { prefix: shown(text), reason }
    }
}

/// Parses all of them, or names the first that is wrong. A text given twice is kept once.
pub(crate) fn read_all<T: Text>(texts: &[String]) -> Result<Vec<T>, Error> {
    if let Some(text) = texts.get(PATTERNS_MAX) {
        return Err(T::refuse(text, format!("is one more than the {PATTERNS_MAX} that one record may have")));
    }
    let mut seen = std::collections::HashSet::new();
    let parsed = texts.iter().map(|text| T::read(text));
    parsed.filter(|item| item.as_ref().map_or(true, |item| seen.insert(item.to_string()))).collect()
}

pub(crate) fn serialize<S: Serializer, T: Text>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(ToString::to_string))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Text>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    read_all(&texts).map_err(de::Error::custom)
}

fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}
