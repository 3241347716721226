//! `hello`, its answer, and `prove` (P-14, P-15, P-20).

use crate::limits::Limits;
use serde::{Deserialize, Serialize};

/// What a worker says first (P-14).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions it speaks.
    pub versions: Vec<u32>,
    /// Features it knows.
    #[serde(default)]
    pub features: Vec<String>,
    /// What it accepts.
    #[serde(default)]
    pub limits: Limits,
    /// 64 hex digits, fresh for each connection.
    pub nonce: String,
    /// Id of its worker key.
    pub key: String,
    /// Unique per process.
    pub instance: String,
    /// Of the application.
    pub version: String,
    /// Name and version of the client library.
    pub library: String,
}

impl Hello {
    /// Whether every text has the form that P-14 asks for; gives the member that has not.
    pub fn check(&self) -> Result<(), &'static str> {
        let hex = |text: &str, len: usize| {
            text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let word = |text: &str, extra: &[u8]| {
            (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b) || extra.contains(&b))
        };
        let rules = [
            (hex(&self.nonce, 64), "nonce"),
            (hex(&self.key, 16), "key"),
            (word(&self.instance, b""), "instance"),
            (word(&self.version, b"+"), "version"),
            (self.library.len() <= 64 && self.library.bytes().all(|b| (0x20..0x7f).contains(&b)), "library"),
            (self.limits.are_usable(), "limits"),
            (!self.versions.is_empty() && self.versions.len() <= 16, "versions"),
            (self.features.len() <= 64, "features"),
        ];
        rules.iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, member)| Err(member))
    }
}

/// What the broker answers (P-15); its proof is the attachment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The version that holds.
    pub version: u32,
    /// Features that both know.
    #[serde(default)]
    pub features: Vec<String>,
    /// The smaller limits of both sides.
    #[serde(default)]
    pub limits: Limits,
    /// 64 hex digits, fresh for each connection.
    pub nonce: String,
    /// The broker's id.
    pub broker: String,
    /// Name and version of the broker.
    #[serde(default)]
    pub library: String,
}

/// What the broker answers to `prove` (P-20).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProveAnswer {
    /// Name of the worker key.
    pub service: String,
}
