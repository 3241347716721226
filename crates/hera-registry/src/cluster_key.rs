//! The cluster key: 32 random bytes in a file, from which everything else that brokers keep secret is derived.

use std::path::Path;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use hera_protocol::key::{hex, unhex32};
use hera_protocol::proof::Signer;

use crate::error::Error;
use crate::secret::Secret;
use crate::store;

/// The cluster key. `Debug` shows `***`; drop overwrites it.
#[derive(Clone, Debug)]
pub struct ClusterKey(Secret);

impl ClusterKey {
    /// A fresh key.
    pub fn generate() -> ClusterKey {
        ClusterKey(Secret::random())
    }

    /// A key of known bytes, for tests and tools.
    pub fn from_bytes(bytes: [u8; 32]) -> ClusterKey {
        ClusterKey(Secret::new(bytes))
    }

    /// Reads a file of 32 raw bytes, or of 64 hex digits with or without a newline.
    ///
    /// Errors: `no_cluster_key` when it is not there, `wrong_mode` when anybody but the owner may read it, `corrupt` for any other content, `io`.
    pub fn read(path: &Path) -> Result<ClusterKey, Error> {
        let mut bytes = store::read_secret(path).map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Error::NoClusterKey { path: path.to_owned() }
            }
            error => error,
        })?;
        let key = if let Ok(raw) = <[u8; 32]>::try_from(bytes.as_slice()) {
            Some(raw)
        } else {
            std::str::from_utf8(&bytes).ok().and_then(|text| unhex32(text.trim_ascii_end()))
        };
        bytes.fill(0);
        std::hint::black_box(&bytes);
        key.map(ClusterKey::from_bytes).ok_or_else(|| {
            Error::corrupt(
                path,
                "not a cluster key: it must hold 64 hex digits, or 32 raw bytes; restore the right file",
            )
        })
    }

    /// Writes the key as hex text into a file of mode 0600 that is whole or not there.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        store::write(path, format!("{}\n", hex(self.0.expose())).as_bytes())
    }

    /// Seed of the Ed25519 identity that all brokers of the cluster prove.
    pub fn identity_seed(&self) -> Secret {
        self.derive(b"hera/1 broker identity")
    }

    /// Public half of the identity: what a worker key carries.
    pub fn identity_public(&self) -> [u8; 32] {
        Signer::from_seed(self.identity_seed().expose()).public()
    }

    /// Key of the MAC over every record that brokers trust.
    pub fn record_mac_key(&self) -> Secret {
        self.derive(b"hera/1 record mac")
    }

    /// Password of the ZooKeeper digest user, as hex.
    pub(crate) fn zookeeper_password(&self) -> String {
        hex(self.derive(b"hera/1 zookeeper digest").expose())
    }

    /// HKDF-SHA256 (RFC 5869) with an empty salt; `info` keeps one use apart from another.
    fn derive(&self, info: &[u8]) -> Secret {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                32
            }
        }
        let mut bytes = [0; 32];
        let info = [info];
        let pseudo_random_key = Salt::new(HKDF_SHA256, &[]).extract(self.0.expose());
        let filled = pseudo_random_key.expand(&info, Length).and_then(|okm| okm.fill(&mut bytes));
        // HKDF-SHA256 refuses over 255 x 32 bytes only, and the length asked for is the length filled.
        filled.expect("32 bytes can be derived");
        Secret::new(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.key");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn written_key_is_read_again_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.key");
        let key = ClusterKey::generate();

        key.write(&path).unwrap();

        assert_eq!(ClusterKey::read(&path).unwrap().0.expose(), key.0.expose());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn raw_bytes_and_hex_text_are_the_same_key() {
        let (_a, raw) = file(&[0xa5; 32], 0o600);
        let (_b, text) = file(format!("{}\n", "a5".repeat(32)).as_bytes(), 0o400);

        let (raw, text) = (ClusterKey::read(&raw).unwrap(), ClusterKey::read(&text).unwrap());

        assert_eq!(raw.0.expose(), text.0.expose());
    }

    #[test]
    fn key_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o644, 0o660] {
            let (_dir, path) = file(&[1; 32], mode);
            assert_eq!(ClusterKey::read(&path).unwrap_err().code(), "wrong_mode");
        }
    }

    #[test]
    fn other_content_is_refused_and_not_shown() {
        for content in [&b""[..], &[b'a'; 31], &[b'a'; 63], &[b'z'; 64], &[b'a'; 66], &[0xff; 64]] {
            let (_dir, path) = file(content, 0o600);
            let error = ClusterKey::read(&path).unwrap_err();
            assert_eq!(error.code(), "corrupt");
            assert!(!error.to_string().contains("aaaa"));
        }
    }

    #[test]
    fn derived_secrets_are_stable_and_differ_from_each_other() {
        let key = ClusterKey::from_bytes([7; 32]);

        // Computed apart by RFC 5869 with an empty salt.
        assert_eq!(
            hex(key.identity_seed().expose()),
            "7f40260c9a87363998a6f31da42f341768611c1914356eb98014d1a3eca92d24"
        );
        assert_eq!(
            hex(key.record_mac_key().expose()),
            "93d35b34a12c86a419de9a35e311dc0980c1af8540f1a0aecdc08eedd6135c3d"
        );
        assert_eq!(format!("{key:?}"), "ClusterKey(***)");
    }
}
