//! `chunk`, `credit`, `end`, `reset`: bodies that do not fit an attachment (P-38 to P-42).

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Which body of a call: the ids of both directions are unrelated, so the id alone does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// The requester's.
    Call,
    /// The answer's.
    Reply,
}

/// Params of `chunk` and of `end`: which body. A chunk's bytes are the attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyRef {
    /// The requester's id.
    pub id: u64,
    /// Whose body.
    pub body: Body,
    /// It is a body of a remote call, which the worker made (P-54).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remote: bool,
}

/// Params of `credit`: the receiver lets so many more bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// The requester's id.
    pub id: u64,
    /// Whose body.
    pub body: Body,
    /// 1 to 2^31 - 1.
    pub bytes: u32,
    /// It is a body of a remote call, which the worker made (P-54).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remote: bool,
}

/// Params of `reset`: cut short by its sender, or not wanted any more by its receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset<'a> {
    /// The requester's id.
    pub id: u64,
    /// Whose body.
    pub body: Body,
    /// A code of `spec/errors.md`, or another word.
    #[serde(borrow, default)]
    pub code: Cow<'a, str>,
    /// It is a body of a remote call, which the worker made (P-54).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remote: bool,
}

/// What a receiver granted and has not got yet; the sender's use of it is checked against this (P-39).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    bytes: u64,
}

impl Granted {
    /// Notes a grant.
    pub fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Takes `bytes` that arrived, or gives false: the sender broke P-39.
    pub fn take(&mut self, bytes: u64) -> bool {
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }

    /// Bytes that may still come.
    pub fn left(&self) -> u64 {
        self.bytes
    }
}
