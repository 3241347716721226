//! Paths and ACLs.

use zookeeper_client::{Acl, Acls, AuthId, Permission};

use crate::cluster_key::ClusterKey;

pub(crate) const BROKERS: &str = "/brokers";
pub(crate) const CONFIG: &str = "/config";
pub(crate) const TOKENS: &str = "/tokens";
pub(crate) const TOKEN_NAMES: &str = "/tokens/names";
pub(crate) const KEYS: &str = "/keys";
pub(crate) const KEY_NAMES: &str = "/keys/names";
pub(crate) const SERVICES: &str = "/services";
/// The folder of names beside the records.
pub(crate) const NAMES: &str = "names";

const USER: &str = "hera";

/// The bucket of a token's id: its first two digits.
pub(crate) fn bucket(id: &str) -> String {
    format!("{TOKENS}/{}", id.get(..2).unwrap_or("00"))
}

pub(crate) fn token(id: &str) -> String {
    format!("{}/{id}", bucket(id))
}

pub(crate) fn token_name(name: &str) -> String {
    format!("{TOKEN_NAMES}/{name}")
}

pub(crate) fn key(id: &str) -> String {
    format!("{KEYS}/{id}")
}

pub(crate) fn key_name(name: &str) -> String {
    format!("{KEY_NAMES}/{name}")
}

pub(crate) fn service(name: &str) -> String {
    format!("{SERVICES}/{name}")
}

pub(crate) fn broker(id: &str) -> String {
    format!("{BROKERS}/{id}")
}

/// What `addauth digest` takes.
pub(crate) fn credentials(key: &ClusterKey) -> Vec<u8> {
    format!("{USER}:{}", key.zookeeper_password()).into_bytes()
}

/// The id under which ZooKeeper stores those credentials in an ACL: `user:base64(sha1(user:password))`.
///
/// Source: ZooKeeper Programmer's Guide, "Builtin ACL Schemes". The password has 256 bits of its own, so SHA-1 is no weakness here.
pub(crate) fn digest_id(key: &ClusterKey) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, &credentials(key));
    format!("{USER}:{}", base64(hash.as_ref()))
}

/// Who may do what with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Brokers alone.
    Closed,
    /// Brokers, and everybody may read.
    Readable,
}

/// The ACLs of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    closed: Vec<Acl>,
    readable: Vec<Acl>,
}

impl Rules {
    /// Those of R-4, or none at all where the operator asked for it.
    pub(crate) fn new(key: &ClusterKey, open: bool) -> Rules {
        let everybody = |permission| Acl::new(permission, AuthId::anyone());
        if open {
            let all = vec![everybody(Permission::ALL)];
            return Rules { closed: all.clone(), readable: all };
        }
        let brokers = Acl::new(Permission::ALL, AuthId::new("digest", &digest_id(key)));
        Rules { closed: vec![brokers.clone()], readable: vec![brokers, everybody(Permission::READ)] }
    }

    /// For the creation of a node.
    pub(crate) fn acls(&self, who: Who) -> Acls<'_> {
        Acls::new(match who {
            Who::Closed => &self.closed,
            Who::Readable => &self.readable,
        })
    }

    /// Whether a node has just these ACLs, in any order.
    pub(crate) fn hold(&self, who: Who, found: &[Acl]) -> bool {
        let wanted: &[Acl] = &self.acls(who);
        wanted.len() == found.len() && wanted.iter().all(|acl| found.contains(acl))
    }
}

/// The nodes that a cluster begins with.
pub(crate) const SKELETON: [(&str, Who); 6] = [
    (BROKERS, Who::Readable),
    (TOKENS, Who::Closed),
    (TOKEN_NAMES, Who::Closed),
    (KEYS, Who::Closed),
    (KEY_NAMES, Who::Closed),
    (SERVICES, Who::Closed),
];

/// RFC 4648, with padding; twenty bytes once in a while, so no library for it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number =
            group.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn paths_lie_where_the_specification_says() {
        assert_eq!(token("ab23456789abcdef"), "/tokens/ab/ab23456789abcdef");
        assert_eq!(token_name("ads"), "/tokens/names/ads");
        assert_eq!(key("0123456789abcdef"), "/keys/0123456789abcdef");
    }

    #[test]
    fn acls_hold_in_any_order_and_nothing_beside_them() {
        let key = ClusterKey::from_bytes([1; 32]);
        let rules = Rules::new(&key, false);
        let mut found = rules.acls(Who::Readable).to_vec();
        found.reverse();

        assert!(rules.hold(Who::Readable, &found));
        assert!(!rules.hold(Who::Closed, &found));
        found.push(Acl::new(Permission::WRITE, AuthId::anyone()));
        assert!(!rules.hold(Who::Readable, &found));
        assert!(!rules.hold(Who::Closed, &Rules::new(&key, true).acls(Who::Closed)));
    }
}
