//! Tokens: the text that a caller sends, and the record that remains of it.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use hera_protocol::key::hex;
use hera_route::Scope;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::{self, ANONYMOUS};
use crate::rate::Rate;
use crate::secret::{Secret, equal};
use crate::{duration, texts};

const PREFIX: &[u8] = b"hera_";
const ID: std::ops::Range<usize> = 5..21;
const CHECKED: usize = ID.end + 64;
const LENGTH: usize = CHECKED + 8;

const LABELS_MAX: usize = 32;
const LABEL_BYTES_MAX: usize = 256;
const EXPIRES_DAYS_MAX: u64 = 36_500;

/// A token as its holder sends it: `hera_`, id (16 hex digits), secret (64), and the first 8 hex digits of the SHA-256
/// of all the text before; lower case, 93 characters. `Debug` shows the id alone; drop overwrites the text.
#[derive(Clone)]
pub struct TokenText([u8; LENGTH]);

impl TokenText {
    /// A fresh token with this id, which must be 16 hex digits.
    pub(crate) fn generate(id: &str) -> TokenText {
        let mut text = [0; LENGTH];
        text[..PREFIX.len()].copy_from_slice(PREFIX);
        text[ID].copy_from_slice(id.as_bytes());
        text[ID.end..CHECKED].copy_from_slice(hex(Secret::random().expose()).as_bytes());
        let checksum = checksum(&text[..CHECKED]);
        text[CHECKED..].copy_from_slice(&checksum);
        TokenText(text)
    }

    /// Reads a header's value; `None` when it is not well-formed, whatever the registry holds.
    ///
    /// Every text of the right length takes the same work. Nothing is allocated.
    pub fn parse(text: &[u8]) -> Option<TokenText> {
        let token = TokenText(text.try_into().ok()?);
        let lower_hex = token.0[ID.start..].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let prefix = token.0.starts_with(PREFIX);
        let checksum = equal(&checksum(&token.0[..CHECKED]), &token.0[CHECKED..]);
        (prefix & lower_hex & checksum).then_some(token)
    }

    /// Whether `text` is this token, in a time that depends on its length alone.
    pub fn is(&self, text: &[u8]) -> bool {
        equal(&self.0, text)
    }

    /// SHA-256 of the whole text: what the registry knows the token by.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.0)
    }

    /// The id, which is no secret.
    pub fn id(&self) -> &str {
        std::str::from_utf8(&self.0[ID]).unwrap_or_default()
    }

    /// The text itself; the name is meant to be seen in a review.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenText({}, ***)", self.id())
    }
}

impl Drop for TokenText {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

/// What the registry keeps of a token. The secret is not in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TokenRecord {
    /// 16 hex digits; a token that is rotated gets a new one.
    pub id: String,
    /// Unique among tokens; in metrics and logs.
    pub name: String,
    /// SHA-256 of the token; `None` is the record for calls without a token.
    #[serde(default, with = "digest_hex")]
    pub digest: Option<[u8; 32]>,
    /// What the holder may call; empty is nothing.
    #[serde(with = "texts")]
    pub allow: Vec<Scope>,
    /// How often; `None` is as often as the broker can.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// Unix seconds from which the token is refused; `None` is never.
    #[serde(default)]
    pub expires: Option<u64>,
    /// Handed to workers with every call.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Unix seconds.
    pub created: u64,
}

impl TokenRecord {
    /// Whether one of the scopes covers the method and the canonical path.
    pub fn allows(&self, method: &str, path: &str) -> bool {
        self.allow.iter().any(|scope| scope.allows(method, path))
    }

    /// Whether the token's time is over.
    pub fn is_expired(&self, now_unix: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now_unix)
    }

    /// The same rights under a new id and text; one with an expiry gets its whole time again. Error `bad_name` for the anonymous record.
    pub(crate) fn rotated(&self, now_unix: u64) -> Result<(TokenRecord, TokenText), Error> {
        if self.digest.is_none() {
            return Err(Error::NothingToRotate);
        }
        let id = name::new_id();
        let text = TokenText::generate(&id);
        let lifetime = self.expires.map(|expires| expires.saturating_sub(self.created));
        let record = TokenRecord {
            id,
            digest: Some(text.digest()),
            expires: lifetime.map(|seconds| now_unix.saturating_add(seconds)),
            created: now_unix,
            ..self.clone()
        };
        Ok((record, text))
    }

    /// What people may see of it.
    pub fn listing(&self) -> TokenListing {
        TokenListing {
            id: self.id.clone(),
            name: self.name.clone(),
            allow: self.allow.iter().map(ToString::to_string).collect(),
            rate: self.rate.map(|rate| rate.to_string()),
            expires: self.expires,
            labels: self.labels.clone(),
            created: self.created,
        }
    }
}

/// A token as `hera token list` and `GET /v1/tokens` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenListing {
    /// 16 hex digits.
    pub id: String,
    /// Unique among tokens.
    pub name: String,
    /// Scopes.
    pub allow: Vec<String>,
    /// As `100/s`.
    pub rate: Option<String>,
    /// Unix seconds.
    pub expires: Option<u64>,
    /// Handed to workers with every call.
    pub labels: BTreeMap<String, String>,
    /// Unix seconds.
    pub created: u64,
}

/// What `hera token create` asks for; also the body of `POST /v1/tokens`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewToken {
    /// Empty with `anonymous`.
    pub name: String,
    /// Makes the record for calls without a token instead.
    pub anonymous: bool,
    /// Scopes; none allows nothing.
    pub allow: Vec<String>,
    /// As `100/s`.
    pub rate: Option<String>,
    /// A time from now, as `30d`.
    pub expires: Option<String>,
    /// Handed to workers with every call.
    pub labels: BTreeMap<String, String>,
}

impl NewToken {
    /// Checks all of it and gives the record with its token; the anonymous record has none.
    ///
    /// Errors: `bad_name`, `bad_scope`, `bad_rate`, `bad_expiry`, `bad_label`. Whether the name is free is not known here.
    pub(crate) fn into_record(self, now_unix: u64) -> Result<(TokenRecord, Option<TokenText>), Error> {
        let name = match self.anonymous {
            false => name::check_token(&self.name).map(|()| self.name)?,
            true if self.name.is_empty() || self.name == ANONYMOUS => ANONYMOUS.to_owned(),
            true => {
                let reason = "cannot be given to the anonymous record; leave it out";
                return Err(Error::BadName { name: self.name.chars().take(80).collect(), reason });
            }
        };
        let id = name::new_id();
        let text = (!self.anonymous).then(|| TokenText::generate(&id));
        let record = TokenRecord {
            id,
            name,
            digest: text.as_ref().map(TokenText::digest),
            allow: texts::read_all(&self.allow)?,
            rate: self.rate.as_deref().map(Rate::parse).transpose()?,
            expires: self.expires.map(|text| expiry(&text, now_unix)).transpose()?,
            labels: checked(self.labels)?,
            created: now_unix,
        };
        Ok((record, text))
    }
}

fn expiry(text: &str, now_unix: u64) -> Result<u64, Error> {
    let seconds = duration::parse(text).map(|duration| duration.as_secs());
    let seconds = seconds.filter(|seconds| (1..=EXPIRES_DAYS_MAX * 86_400).contains(seconds));
    seconds.map(|seconds| now_unix + seconds).ok_or_else(|| Error::BadExpiry(text.chars().take(40).collect()))
}

/// Labels travel in every call and in logs, so they are few, short, and without control characters.
fn checked(labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    for (at, (key, value)) in labels.iter().enumerate() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let reason = if key.is_empty() || key.len() > 63 || !key.bytes().all(plain) {
            "has a key that is not 1 to 63 letters, digits, '.', '_' or '-'"
        } else if value.len() > LABEL_BYTES_MAX || value.chars().any(char::is_control) {
            "has a value over 256 bytes, or with control characters"
        } else if at >= LABELS_MAX {
            "is one more than the 32 that a token may have"
        } else {
            continue;
        };
        return Err(Error::BadLabel { label: key.chars().take(80).collect(), reason });
    }
    Ok(labels)
}

fn checksum(text: &[u8]) -> [u8; 8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hash = sha256(text);
    std::array::from_fn(|at| {
        DIGITS[usize::from(if at % 2 == 0 { hash[at / 2] >> 4 } else { hash[at / 2] & 15 })]
    })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The digest as hex in the record, or null.
mod digest_hex {
    use hera_protocol::key::{hex, unhex32};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        digest: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        digest.as_ref().map(|bytes| hex(bytes)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| unhex32(&text).ok_or_else(|| de::Error::custom("digest is not 64 hex digits")))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> TokenText {
        TokenText::generate("0123456789abcdef")
    }

    #[test]
    fn token_survives_its_text() {
        let token = token();
        assert_eq!(token.expose().len(), 93);
        assert!(token.expose().starts_with("hera_0123456789abcdef"));

        let read = TokenText::parse(token.expose().as_bytes()).unwrap();

        assert_eq!(read.digest(), token.digest());
        assert_eq!(read.id(), "0123456789abcdef");
        assert!(read.is(token.expose().as_bytes()));
        assert!(!read.is(&token.expose().as_bytes()[..92]) && !read.is(b""));
    }

    #[test]
    fn known_token_is_read() {
        // Checksum computed apart: SHA-256 of the first 85 characters.
        let text = format!("hera_{}{}4a792563", "0123456789abcdef", "ab".repeat(32));

        assert!(TokenText::parse(text.as_bytes()).is_some());
    }

    #[test]
    fn any_changed_character_is_refused() {
        let token = token();
        for at in 0..LENGTH {
            let mut text = token.0;
            text[at] = if text[at] == b'0' { b'1' } else { b'0' };
            assert!(TokenText::parse(&text).is_none(), "character {at}");
        }
    }

    #[test]
    fn malformed_texts_are_refused() {
        let text = token().expose().to_owned();
        for text in [
            "",
            "hera_",
            &text[1..],
            &text[..92],
            &format!("{text}0"),
            &format!(" {text}"),
            &text.to_uppercase(),
            &text.replacen("0123", "012\0", 1),
        ] {
            assert!(TokenText::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(TokenText::parse(&[0xff; 93]).is_none());
        assert!(TokenText::parse(&vec![b'a'; 1_000_000]).is_none());
    }

    #[test]
    fn secret_is_not_in_debug_record_or_listing() {
        let (record, text) = NewToken { name: "ads".into(), ..NewToken::default() }.into_record(1).unwrap();
        let text = text.unwrap();
        let secret = &text.expose()[ID.end..CHECKED];

        let stored = serde_json::to_string(&record).unwrap();
        let listed = serde_json::to_string(&record.listing()).unwrap();

        assert!(!format!("{text:?} {record:?} {stored} {listed}").contains(secret));
        assert!(!listed.contains("digest"));
    }

    #[test]
    fn labels_are_bounded() {
        let with = |key: &str, value: &str| NewToken {
            name: "ads".into(),
            labels: [(key.to_owned(), value.to_owned())].into(),
            ..NewToken::default()
        };
        with("team", "ads & more").into_record(0).unwrap();
        for (key, value) in
            [("", "x"), ("a b", "x"), (&"k".repeat(64), "x"), ("k", "a\nb"), ("k", &"v".repeat(257))]
        {
            assert_eq!(with(key, value).into_record(0).unwrap_err().code(), "bad_label");
        }
        let many = (0..33).map(|n| (format!("k{n}"), String::new())).collect();
        let many = NewToken { name: "ads".into(), labels: many, ..NewToken::default() };
        assert_eq!(many.into_record(0).unwrap_err().code(), "bad_label");
    }

    #[test]
    fn expiry_counts_from_now_and_is_bounded() {
        let with =
            |text: &str| NewToken { name: "ads".into(), expires: Some(text.into()), ..NewToken::default() };

        let record = with("30d").into_record(1_000).unwrap().0;
        assert!(!record.is_expired(1_000 + 2_591_999));
        assert!(record.is_expired(1_000 + 2_592_000));

        for text in ["0s", "36501d", "soon", "", "99999999999999999d"] {
            assert_eq!(with(text).into_record(0).unwrap_err().code(), "bad_expiry", "{text}");
        }
    }
}
