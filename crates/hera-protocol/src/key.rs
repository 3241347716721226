//! The worker key: the secret that a worker proves itself with (P-22).

use aws_lc_rs::digest::{SHA256, digest};

const PREFIX: &str = "herakey_";
const CHECKED: usize = PREFIX.len() + 16 + 64 + 64;
const LENGTH: usize = CHECKED + 8;

/// A worker key, taken apart. `Debug` shows the id alone.
#[derive(Clone)]
pub struct WorkerKey {
    /// 16 hex digits; names the record in the registry.
    pub id: String,
    /// Seed of the worker's Ed25519 pair.
    pub seed: [u8; 32],
    /// The cluster's Ed25519 public key: what a broker has to prove.
    pub cluster: [u8; 32],
}

/// Why a text is no worker key. The text itself is never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Wrong prefix, length or digits.
    #[error("worker key is not `herakey_` and 152 lower-case hex digits")]
    Form,
    /// The checksum differs: a digit was lost or changed on the way.
    #[error("worker key is damaged: its checksum does not fit")]
    Checksum,
}

impl WorkerKey {
    /// Reads the text; surrounding white space is allowed, since files end in a newline.
    pub fn parse(text: &str) -> Result<WorkerKey, BadKey> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).filter(|_| text.len() == LENGTH).ok_or(BadKey::Form)?;
        if !rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(BadKey::Form);
        }
        if checksum(&text[..CHECKED]) != text[CHECKED..] {
            return Err(BadKey::Checksum);
        }
        let seed = unhex32(&rest[16..80]).ok_or(BadKey::Form)?;
        let cluster = unhex32(&rest[80..144]).ok_or(BadKey::Form)?;
        Ok(WorkerKey { id: rest[..16].to_owned(), seed, cluster })
    }

    /// The text that an operator hands to a service.
    pub fn to_text(&self) -> String {
        let mut text = format!("{PREFIX}{}{}{}", self.id, hex(&self.seed), hex(&self.cluster));
        text.push_str(&checksum(&text));
        text
    }
}

impl std::fmt::Debug for WorkerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkerKey({}, ***)", self.id)
    }
}

fn checksum(text: &str) -> String {
    hex(&digest(&SHA256, text.as_bytes()).as_ref()[..4])
}

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

/// 32 bytes from 64 hex digits of either case.
pub fn unhex32(text: &str) -> Option<[u8; 32]> {
    unhex(text)?.try_into().ok()
}

/// Bytes from hex digits of either case.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_survives_its_text_and_damage_is_seen() {
        let key = WorkerKey { id: "0123456789abcdef".into(), seed: [7; 32], cluster: [9; 32] };
        let text = key.to_text();
        assert_eq!(text.len(), 160);

        let read = WorkerKey::parse(&format!("{text}\n")).unwrap();
        assert_eq!((read.seed, read.cluster, read.id.as_str()), ([7; 32], [9; 32], "0123456789abcdef"));

        assert_eq!(WorkerKey::parse(&text.replacen("07", "08", 1)).unwrap_err(), BadKey::Checksum);
        assert_eq!(WorkerKey::parse(&text[..150]).unwrap_err(), BadKey::Form);
        assert_eq!(WorkerKey::parse(&text.to_uppercase()).unwrap_err(), BadKey::Form);
        assert!(!format!("{key:?}").contains("0707"));
    }
}
