//! The admin token: who may read it may administer the broker.

use std::path::Path;

use hera_protocol::key::{hex, unhex32};

use crate::error::Error;
use crate::secret::{self, Secret};
use crate::store;

/// The admin token of a data dir; 64 hex digits in `admin.token`. `Debug` shows `***`.
#[derive(Clone, Debug)]
pub struct AdminToken(Secret);

impl AdminToken {
    /// A fresh token.
    pub fn generate() -> AdminToken {
        AdminToken(Secret::random())
    }

    /// Reads the token; errors: `wrong_mode`, `corrupt`, `io`.
    pub fn read(path: &Path) -> Result<AdminToken, Error> {
        let bytes = store::read_secret(path)?;
        let token = std::str::from_utf8(&bytes).ok().and_then(|text| unhex32(text.trim_ascii_end()));
        token.map(|bytes| AdminToken(Secret::new(bytes))).ok_or_else(|| {
            Error::corrupt(
                path,
                "not an admin token of 64 hex digits; delete it and start the broker again to make one",
            )
        })
    }

    /// Writes the token into a file of mode 0600.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        store::write(path, format!("{}\n", self.expose()).as_bytes())
    }

    /// The text that goes into `Authorization: Bearer …`.
    pub fn expose(&self) -> String {
        hex(self.0.expose())
    }

    /// Whether `given` is this token, in a time that does not depend on where they differ.
    pub fn matches(&self, given: &str) -> bool {
        secret::equal(self.expose().as_bytes(), given.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_matches_itself_alone() {
        let token = AdminToken::generate();

        assert!(token.matches(&token.expose()));
        assert!(!token.matches(&AdminToken::generate().expose()));
        assert!(!token.matches(""));
        assert_eq!(format!("{token:?}"), "AdminToken(***)");
    }
}
