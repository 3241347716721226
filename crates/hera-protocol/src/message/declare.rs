//! `declare` (P-28 to P-31).

use crate::limits::{BODY_BYTES_DEFAULT, BODY_BYTES_MAX, TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX};
use serde::{Deserialize, Serialize};

/// Params of `declare`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Declare {
    /// The whole set; an empty one serves nothing.
    pub endpoints: Vec<Declared>,
}

/// Result of `declare`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct DeclareAnswer {
    /// How many endpoints are live.
    pub accepted: usize,
}

/// One endpoint and its limits (P-28).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// `METHOD PATTERN`.
    pub endpoint: String,
    /// Milliseconds that a call may take.
    #[serde(default = "timeout_default")]
    pub timeout_ms: u64,
    /// Largest body of a call.
    #[serde(default = "body_default")]
    pub body_bytes_max: u64,
    /// Calls of this endpoint at once on this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// May run twice; `None` leaves it to the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// Request headers that it wants, in lower case; `None` is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
}

fn timeout_default() -> u64 {
    TIMEOUT_MS_DEFAULT
}

fn body_default() -> u64 {
    BODY_BYTES_DEFAULT
}

/// Methods that may always run twice (D1, RFC 9110 section 9.2.2).
pub fn is_idempotent_method(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

impl Declared {
    /// An endpoint with the default limits.
    pub fn new(endpoint: impl Into<String>) -> Declared {
        Declared {
            endpoint: endpoint.into(),
            timeout_ms: TIMEOUT_MS_DEFAULT,
            body_bytes_max: BODY_BYTES_DEFAULT,
            concurrency: None,
            idempotent: None,
            headers: None,
        }
    }

    /// Whether the limits are such as P-28 allows; says which is not. The pattern is judged elsewhere.
    pub fn check_limits(&self) -> Result<(), String> {
        if !(1..=TIMEOUT_MS_MAX).contains(&self.timeout_ms) {
            return Err(format!("timeout_ms {} is not within 1 to {TIMEOUT_MS_MAX}", self.timeout_ms));
        }
        if self.body_bytes_max > BODY_BYTES_MAX {
            return Err(format!("body_bytes_max {} exceeds {BODY_BYTES_MAX}", self.body_bytes_max));
        }
        if self.concurrency.is_some_and(|calls| !(1..=65_535).contains(&calls)) {
            return Err("concurrency is not within 1 to 65535".to_owned());
        }
        let method = self.endpoint.split(' ').next().unwrap_or_default();
        if self.idempotent == Some(false) && is_idempotent_method(method) {
            return Err(format!("{method} is always idempotent: proxies go by the method"));
        }
        let names_fit = |names: &Vec<String>| {
            names.len() <= 100
                && names.iter().all(|name| {
                    (1..=128).contains(&name.len())
                        && name.bytes().all(|b| super::reply::is_token_byte(b) && !b.is_ascii_uppercase())
                })
        };
        if !self.headers.as_ref().is_none_or(names_fit) {
            return Err("headers are not at most 100 header names in lower case".to_owned());
        }
        Ok(())
    }

    /// Whether a call with this HTTP method may run twice.
    pub fn may_run_twice(&self, method: &str) -> bool {
        is_idempotent_method(method) || self.idempotent == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_out_limits_are_the_defaults() {
        let declared: Declared = serde_json::from_str(r#"{"endpoint":"GET /a"}"#).unwrap();
        assert_eq!(declared, Declared::new("GET /a"));
        assert!(declared.check_limits().is_ok());
        assert!(declared.may_run_twice("GET") && !declared.may_run_twice("POST"));
    }

    #[test]
    fn limits_that_cannot_be_are_named() {
        let with = |change: fn(&mut Declared)| {
            let mut declared = Declared::new("GET /a");
            change(&mut declared);
            declared.check_limits().unwrap_err()
        };
        assert!(with(|d| d.timeout_ms = 0).contains("timeout_ms"));
        assert!(with(|d| d.body_bytes_max = u64::MAX).contains("body_bytes_max"));
        assert!(with(|d| d.concurrency = Some(0)).contains("concurrency"));
        assert!(with(|d| d.idempotent = Some(false)).contains("idempotent"));
        assert!(with(|d| d.headers = Some(vec!["X-A".into()])).contains("headers"));
    }
}
