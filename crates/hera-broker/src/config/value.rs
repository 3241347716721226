//! A value as it was written, and the readers that make types of it.
//!
//! A reader gives the value, or says what is allowed; the caller knows the key and the place.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A value of some layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A string of the file.
    Text(String),
    /// From the environment or a flag, where everything is a string: it may be read as any type.
    Plain(String),
    /// A whole number of the file.
    Integer(i64),
    /// A truth value of the file.
    Bool(bool),
    /// A list of strings of the file.
    List(Vec<String>),
    /// What no key takes, named for the error.
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) | Value::Plain(text) => write!(f, "{text:?}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::List(items) => write!(f, "{items:?}"),
            Value::Other(kind) => f.write_str(kind),
        }
    }
}

/// What a reader gives: a value, or what is allowed instead.
pub(super) type Read<T> = Result<T, String>;

/// A text that is not empty and has no control characters.
pub(super) fn text(value: &Value) -> Read<&str> {
    match value {
        Value::Text(text) | Value::Plain(text) if !text.is_empty() && !text.chars().any(char::is_control) => {
            Ok(text)
        }
        _ => Err("a text that is not empty".to_owned()),
    }
}

/// A path.
pub(super) fn path(value: &Value) -> Read<PathBuf> {
    text(value).map(PathBuf::from).map_err(|_| "a path".to_owned())
}

/// `true` or `false`.
pub(super) fn truth(value: &Value) -> Read<bool> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Plain(text) if text == "true" => Ok(true),
        Value::Plain(text) if text == "false" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// A whole number in a range.
pub(super) fn number(value: &Value, allowed: RangeInclusive<usize>) -> Read<usize> {
    let number = match value {
        Value::Integer(number) => usize::try_from(*number).ok(),
        Value::Plain(text) => digits(text).and_then(|number| usize::try_from(number).ok()),
        _ => None,
    };
    let fits = number.filter(|number| allowed.contains(number));
    fits.ok_or_else(|| format!("a whole number from {} to {}", allowed.start(), allowed.end()))
}

/// A number of bytes in a range: a whole number, or a text with the unit KiB, MiB or GiB.
pub(super) fn bytes(value: &Value, allowed: RangeInclusive<u64>) -> Read<u64> {
    const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let of_text = |text: &str| {
        let unit = UNITS.into_iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
        let (number, unit) = unit.unwrap_or((text, 1));
        digits(number)?.checked_mul(unit)
    };
    let bytes = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(text) | Value::Plain(text) => of_text(text),
        _ => None,
    };
    let fits = bytes.filter(|bytes| allowed.contains(bytes));
    fits.ok_or_else(|| {
        format!("bytes from {} to {}, as 1048576 or \"1MiB\" (KiB, MiB, GiB)", allowed.start(), allowed.end())
    })
}

/// A time in a range: a number and the unit `ms`, `s` or `m`.
pub(super) fn duration(value: &Value, allowed: RangeInclusive<Duration>) -> Read<Duration> {
    let of_text = |text: &str| {
        let (number, unit_ms) = match text {
            _ if text.ends_with("ms") => (&text[..text.len() - 2], 1),
            _ if text.ends_with('s') => (&text[..text.len() - 1], 1_000),
            _ if text.ends_with('m') => (&text[..text.len() - 1], 60_000),
            _ => return None,
        };
        digits(number)?.checked_mul(unit_ms).map(Duration::from_millis)
    };
    let duration = match value {
        Value::Text(text) | Value::Plain(text) => of_text(text),
        _ => None,
    };
    let fits = duration.filter(|duration| allowed.contains(duration));
    fits.ok_or_else(|| {
        format!("a time from {} to {}, as \"15s\" or \"500ms\"", Time(*allowed.start()), Time(*allowed.end()))
    })
}

/// An address and port.
pub(super) fn address(value: &Value) -> Read<SocketAddr> {
    text(value).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
        "an IP address and a port, as \"127.0.0.1:8080\" or \"[::1]:8080\"; port 0 takes a free one"
            .to_owned()
    })
}

/// A list of texts, each read by `item`; in the environment and in flags they are separated by commas.
pub(super) fn list<T>(value: &Value, what: &str, item: impl Fn(&str) -> Option<T>) -> Read<Vec<T>> {
    let items: Option<Vec<T>> = match value {
        Value::List(items) => items.iter().map(|text| item(text)).collect(),
        Value::Plain(text) if text.is_empty() => Some(Vec::new()),
        Value::Plain(text) => text.split(',').map(|text| item(text.trim())).collect(),
        _ => None,
    };
    items.ok_or_else(|| format!("a list of {what}"))
}

/// A duration as it is written in the configuration.
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

/// Digits and nothing else: no sign, no space, no underscore.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Value {
        Value::Plain(text.to_owned())
    }

    #[test]
    fn sizes_are_read_with_and_without_unit() {
        let read = |value| bytes(&value, 0..=1 << 40).ok();

        assert_eq!(read(Value::Integer(5)), Some(5));
        assert_eq!(read(Value::Text("1MiB".into())), Some(1 << 20));
        assert_eq!(read(plain("2GiB")), Some(2 << 30));
        for text in ["", "1MB", "MiB", "-1", "1.5MiB", "1 MiB", "99999999999GiB", "2048GiB"] {
            assert_eq!(read(plain(text)), None, "{text}");
        }
        assert_eq!(read(Value::Integer(-1)), None);
    }

    #[test]
    fn times_need_a_unit() {
        let read =
            |text: &str| duration(&plain(text), Duration::from_millis(1)..=Duration::from_secs(300)).ok();

        assert_eq!(read("15s"), Some(Duration::from_secs(15)));
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("5m"), Some(Duration::from_secs(300)));
        for text in ["", "15", "s", "0ms", "301s", "-1s", "1.5s", "15 s", "1h", "ä"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn types_are_not_guessed_in_the_file_and_are_outside() {
        assert_eq!(truth(&plain("true")), Ok(true));
        assert!(truth(&Value::Text("true".into())).is_err());
        assert!(truth(&plain("yes")).is_err());
        assert_eq!(number(&plain("7"), 1..=10), Ok(7));
        assert!(number(&Value::Text("7".into()), 1..=10).is_err());
        assert!(number(&Value::Integer(11), 1..=10).is_err());
        let words = |value| list(&value, "words", |word| (!word.is_empty()).then(|| word.to_owned()));
        assert_eq!(words(plain("a, b")), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(words(plain("")), Ok(vec![]));
        assert!(words(plain("a,,b")).is_err());
        assert!(words(Value::Text("a".into())).is_err());
    }
}
