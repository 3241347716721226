//! The MAC over a record: what does not carry one of ours is not believed.
//!
//! A sealed record is `{"mac": hex, "record": {…}}`. The MAC is HMAC-SHA256 over the record's kind, a zero byte, and
//! the bytes of the record exactly as they are stored, so nobody has to agree on how JSON is written. The kind keeps
//! a record of one list from being planted in another.

use aws_lc_rs::hmac;
use hera_protocol::key::{hex, unhex};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::cluster_key::ClusterKey;

/// Which list a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token's record.
    Token,
    /// A worker key's record.
    Key,
    /// An endpoint of the catalogue, in a file.
    Endpoint,
    /// All endpoints of a service, in ZooKeeper.
    Service,
    /// What the brokers of a cluster have in common.
    Config,
}

impl Kind {
    fn label(self) -> &'static [u8] {
        match self {
            Kind::Token => b"token",
            Kind::Key => b"key",
            Kind::Endpoint => b"endpoint",
            Kind::Service => b"service",
            Kind::Config => b"config",
        }
    }
}

/// Why a stored record is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Not an object of a MAC and a record.
    #[error("it is no sealed record")]
    Form,
    /// Changed by hand, planted, or sealed with another cluster key.
    #[error("its MAC does not fit: it was changed, or sealed with another cluster key")]
    Mac,
    /// Sealed by us, and still not readable: a newer version wrote it.
    #[error("it cannot be read by this version")]
    Content,
}

/// Seals and opens records with the cluster's MAC key.
#[derive(Clone)]
pub struct Sealer(hmac::Key);

#[derive(Serialize, Deserialize)]
struct Sealed {
    mac: String,
    record: Box<RawValue>,
}

impl Sealer {
    /// The sealer of this cluster.
    pub fn new(key: &ClusterKey) -> Sealer {
        Sealer(hmac::Key::new(hmac::HMAC_SHA256, key.record_mac_key().expose()))
    }

    /// The record with its MAC, as JSON.
    pub fn seal<T: Serialize>(&self, kind: Kind, record: &T) -> Box<RawValue> {
        // Records are structs of texts and numbers, which have a JSON form.
        let record = to_raw_value(record).expect("a record has a JSON form");
        let mac = hmac::sign(&self.0, &covered(kind, &record));
        let sealed = Sealed { mac: hex(mac.as_ref()), record };
        to_raw_value(&sealed).expect("a sealed record has a JSON form")
    }

    /// The MAC over bytes that are no sealed record, as hex; `label` keeps one use apart from another.
    pub(crate) fn mac(&self, label: &str, bytes: &[u8]) -> String {
        hex(hmac::sign(&self.0, &labelled(label.as_bytes(), bytes)).as_ref())
    }

    /// Whether that MAC is ours; compared in constant time.
    pub(crate) fn verify(&self, label: &str, bytes: &[u8], mac: &str) -> Result<(), BadRecord> {
        let mac = unhex(mac).ok_or(BadRecord::Form)?;
        hmac::verify(&self.0, &labelled(label.as_bytes(), bytes), &mac).map_err(|_| BadRecord::Mac)
    }

    /// The record inside, if its MAC is ours; compared in constant time.
    pub fn open<T: DeserializeOwned>(&self, kind: Kind, sealed: &RawValue) -> Result<T, BadRecord> {
        let sealed: Sealed = serde_json::from_str(sealed.get()).map_err(|_| BadRecord::Form)?;
        let mac = unhex(&sealed.mac).ok_or(BadRecord::Form)?;
        hmac::verify(&self.0, &covered(kind, &sealed.record), &mac).map_err(|_| BadRecord::Mac)?;
        serde_json::from_str(sealed.record.get()).map_err(|_| BadRecord::Content)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(***)")
    }
}

fn covered(kind: Kind, record: &RawValue) -> Vec<u8> {
    labelled(kind.label(), record.get().as_bytes())
}

fn labelled(label: &[u8], bytes: &[u8]) -> Vec<u8> {
    [label, b"\0", bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&ClusterKey::from_bytes([byte; 32]))
    }

    fn open(sealer: &Sealer, kind: Kind, text: &str) -> Result<Vec<u32>, BadRecord> {
        sealer.open(kind, &RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn sealed_record_opens_with_the_same_key_and_kind_alone() {
        let sealed = sealer(1).seal(Kind::Token, &[1, 2, 3]);

        assert_eq!(open(&sealer(1), Kind::Token, sealed.get()), Ok(vec![1, 2, 3]));
        assert_eq!(open(&sealer(2), Kind::Token, sealed.get()), Err(BadRecord::Mac));
        assert_eq!(open(&sealer(1), Kind::Key, sealed.get()), Err(BadRecord::Mac));
    }

    #[test]
    fn any_change_is_seen() {
        let text = sealer(1).seal(Kind::Token, &[1, 2, 3]).get().to_owned();

        for changed in [text.replace("[1,2,3]", "[1,2,4]"), text.replace("[1,2,3]", "[1, 2,3]")] {
            assert_ne!(changed, text);
            assert_eq!(open(&sealer(1), Kind::Token, &changed), Err(BadRecord::Mac));
        }
    }

    #[test]
    fn other_json_is_no_sealed_record() {
        for text in ["1", "null", "{}", r#"{"mac":"zz","record":1}"#, r#"{"mac":1,"record":1}"#] {
            assert_eq!(open(&sealer(1), Kind::Token, text), Err(BadRecord::Form), "{text}");
        }
        assert_eq!(open(&sealer(1), Kind::Token, r#"{"mac":"","record":1}"#), Err(BadRecord::Mac));
        let sealed = sealer(1).seal(Kind::Token, &"text");
        assert_eq!(open(&sealer(1), Kind::Token, sealed.get()), Err(BadRecord::Content));
    }
}
