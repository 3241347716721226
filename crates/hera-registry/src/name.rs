//! Names of tokens and services, and ids.

use hera_protocol::key::hex;

use crate::error::Error;
use crate::secret::random;

/// The name of the record for calls without a token.
pub const ANONYMOUS: &str = "anonymous";

/// Checks a token's name: `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`, not `anonymous`, and not the form of an id.
pub fn check_token(name: &str) -> Result<(), Error> {
    let refuse = |reason| Err(Error::BadName { name: shown(name), reason });
    if !fits(name, |byte| byte.is_ascii_alphanumeric()) {
        return refuse("is not 1 to 63 letters, digits, '.', '_' or '-', the first a letter or digit");
    }
    if name == ANONYMOUS {
        return refuse("is kept for calls without a token; create that record with --anonymous");
    }
    check_not_an_id(name)
}

/// Checks a service's name: `[a-z0-9][a-z0-9._-]{0,62}`, and not the form of an id.
pub fn check_service(name: &str) -> Result<(), Error> {
    if !fits(name, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        let reason =
            "is not 1 to 63 lower-case letters, digits, '.', '_' or '-', the first a letter or digit";
        return Err(Error::BadName { name: shown(name), reason });
    }
    check_not_an_id(name)
}

/// Whether `text` has the form of a record's id: 16 lower-case hex digits.
pub fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A fresh id.
pub fn new_id() -> String {
    hex(&random::<8>())
}

/// `revoke NAME|ID` takes both, so a name that could be somebody's id would revoke the wrong one.
fn check_not_an_id(name: &str) -> Result<(), Error> {
    match is_id(name) {
        true => Err(Error::BadName { name: shown(name), reason: "has the form of an id (16 hex digits)" }),
        false => Ok(()),
    }
}

fn fits(name: &str, alphanumeric: impl Fn(u8) -> bool) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 63
        && bytes.next().is_some_and(&alphanumeric)
        && bytes.all(|byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

/// A name may be any text a peer sent; an error shows its beginning.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_are_taken() {
        for name in ["a", "0", "Ads.team_1-x", &"a".repeat(63)] {
            check_token(name).unwrap();
        }
        check_service("metrics-api").unwrap();
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let long = "a".repeat(64);
        for name in ["", ".a", "-a", "a b", "a\n", "ä", "a/b", &long, "anonymous", "0123456789abcdef"] {
            assert_eq!(check_token(name).unwrap_err().code(), "bad_name", "{name}");
        }
        for name in ["", "Metrics", "_a", "0123456789abcdef", &long] {
            assert_eq!(check_service(name).unwrap_err().code(), "bad_name", "{name}");
        }
    }
}
