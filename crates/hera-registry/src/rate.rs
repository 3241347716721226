//! How many calls a token may make in a unit of time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A rate, as `100/s` or `10/m`; both parts are over zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    /// Calls allowed in each `per`.
    pub calls: u32,
    /// The unit: a second, a minute or an hour.
    pub per: Duration,
}

const UNITS: [(&str, Duration); 3] =
    [("s", Duration::from_secs(1)), ("m", Duration::from_secs(60)), ("h", Duration::from_secs(3_600))];

impl Rate {
    /// Reads `100/s`, `10/m`, `1000/h`; error `bad_rate`. At most 1,000,000,000 calls.
    pub fn parse(text: &str) -> Result<Rate, Error> {
        let read = || {
            let (calls, unit) = text.split_once('/')?;
            let (_, per) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
            let digits = calls.bytes().all(|byte| byte.is_ascii_digit());
            let calls = calls.parse().ok().filter(|calls| digits && (1..=1_000_000_000).contains(calls))?;
            Some(Rate { calls, per })
        };
        read().ok_or_else(|| Error::BadRate(text.chars().take(40).collect()))
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match UNITS.into_iter().find(|(_, per)| *per == self.per) {
            Some((unit, _)) => write!(f, "{}/{unit}", self.calls),
            None => write!(f, "{}/{}s", self.calls, self.per.as_secs()),
        }
    }
}

impl TryFrom<String> for Rate {
    type Error = Error;

    fn try_from(text: String) -> Result<Rate, Error> {
        Rate::parse(&text)
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> String {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_survives_its_text() {
        for text in ["1/s", "100/s", "10/m", "1000000000/h"] {
            assert_eq!(Rate::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", "100", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "1/d", "1/", "100/s/s", "1 /s", "5000000000/s"]
        {
            assert_eq!(Rate::parse(text).unwrap_err().code(), "bad_rate", "{text}");
        }
    }
}
