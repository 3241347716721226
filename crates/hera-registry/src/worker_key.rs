//! Worker keys: what a service may serve and call, and the public half of what its workers prove.

use hera_protocol::key::WorkerKey;
use hera_protocol::proof::Signer;
use hera_route::{Prefix, Scope};
use serde::{Deserialize, Serialize};

use crate::cluster_key::ClusterKey;
use crate::error::Error;
use crate::secret::random;
use crate::{name, texts};

/// What the registry keeps of a worker key. The seed is not in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyRecord {
    /// 16 hex digits; a key that is rotated gets a new one.
    pub id: String,
    /// The service: equal workers share it. Unique among keys.
    pub name: String,
    /// Ed25519 public key that the workers' proofs must verify against.
    #[serde(with = "public_hex")]
    pub public: [u8; 32],
    /// Where its endpoints may lie; empty is nowhere.
    #[serde(with = "texts")]
    pub serve: Vec<Prefix>,
    /// What its workers may call; empty is nothing.
    #[serde(with = "texts")]
    pub call: Vec<Scope>,
    /// Its prefixes were allowed to overlap those of other services.
    #[serde(default)]
    pub share: bool,
    /// Unix seconds.
    pub created: u64,
}

impl KeyRecord {
    /// Whether one of the scopes covers the method and the canonical path of a remote call.
    pub fn may_call(&self, method: &str, path: &str) -> bool {
        self.call.iter().any(|scope| scope.allows(method, path))
    }

    /// What people may see of it.
    pub fn listing(&self) -> KeyListing {
        KeyListing {
            id: self.id.clone(),
            name: self.name.clone(),
            serve: self.serve.iter().map(ToString::to_string).collect(),
            call: self.call.iter().map(ToString::to_string).collect(),
            share: self.share,
            created: self.created,
        }
    }

    /// The first prefix of `others` that overlaps one of ours not in `before`, as an error.
    ///
    /// Prefixes that were granted already are not judged again: another service may have joined them by `--share`.
    fn check_free(&self, before: &[Prefix], others: &[KeyRecord]) -> Result<(), Error> {
        if self.share {
            return Ok(());
        }
        let granted = |prefix: &Prefix| before.iter().any(|old| old.to_string() == prefix.to_string());
        let foreign = || others.iter().filter(|other| other.name != self.name);
        for prefix in self.serve.iter().filter(|prefix| !granted(prefix)) {
            for other in foreign() {
                if let Some(owned) = other.serve.iter().find(|owned| owned.overlaps(prefix)) {
                    let (prefix, owned) = (prefix.to_string(), owned.to_string());
                    return Err(Error::PrefixOwned { prefix, owner: other.name.clone(), owned });
                }
            }
        }
        Ok(())
    }
}

/// A worker key as `hera key list` and `GET /v1/keys` show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyListing {
    /// 16 hex digits.
    pub id: String,
    /// The service.
    pub name: String,
    /// Prefixes.
    pub serve: Vec<String>,
    /// Scopes.
    pub call: Vec<String>,
    /// Whether its prefixes may overlap those of others.
    pub share: bool,
    /// Unix seconds.
    pub created: u64,
}

/// What `hera key create` asks for; also the body of `POST /v1/keys`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewKey {
    /// The service.
    pub name: String,
    /// Prefixes; none serves nothing.
    pub serve: Vec<String>,
    /// Scopes; none calls nothing.
    pub call: Vec<String>,
    /// Allows its prefixes to overlap those of other services.
    pub share: bool,
}

impl NewKey {
    /// Checks all of it against the other keys and gives the record with its key.
    ///
    /// Errors: `bad_name`, `bad_prefix`, `bad_scope`, `prefix_owned`. Whether the name is free is not known here.
    pub(crate) fn into_record(
        self,
        cluster: &ClusterKey,
        others: &[KeyRecord],
        now_unix: u64,
    ) -> Result<(KeyRecord, WorkerKey), Error> {
        name::check_service(&self.name)?;
        let key = generate(cluster);
        let record = KeyRecord {
            id: key.id.clone(),
            name: self.name,
            public: Signer::from_seed(&key.seed).public(),
            serve: texts::read_all(&self.serve)?,
            call: texts::read_all(&self.call)?,
            share: self.share,
            created: now_unix,
        };
        record.check_free(&[], others)?;
        Ok((record, key))
    }
}

/// What `hera key update` changes; also the body of `PATCH /v1/keys/{name}`. What is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyChange {
    /// Replaces all prefixes.
    pub serve: Option<Vec<String>>,
    /// Replaces all scopes.
    pub call: Option<Vec<String>>,
    /// Replaces the flag; it is judged when a prefix is new.
    pub share: Option<bool>,
}

impl KeyChange {
    /// The record with the change made, or why it cannot be; `others` may hold the record itself.
    pub(crate) fn apply(self, record: &KeyRecord, others: &[KeyRecord]) -> Result<KeyRecord, Error> {
        let mut changed = record.clone();
        if let Some(serve) = self.serve {
            changed.serve = texts::read_all(&serve)?;
        }
        if let Some(call) = self.call {
            changed.call = texts::read_all(&call)?;
        }
        changed.share = self.share.unwrap_or(record.share);
        changed.check_free(&record.serve, others)?;
        Ok(changed)
    }
}

/// The same rights under a new id and seed.
pub(crate) fn rotated(record: &KeyRecord, cluster: &ClusterKey, now_unix: u64) -> (KeyRecord, WorkerKey) {
    let key = generate(cluster);
    let public = Signer::from_seed(&key.seed).public();
    (KeyRecord { id: key.id.clone(), public, created: now_unix, ..record.clone() }, key)
}

fn generate(cluster: &ClusterKey) -> WorkerKey {
    WorkerKey { id: name::new_id(), seed: random(), cluster: cluster.identity_public() }
}

/// The public key as hex in the record.
mod public_hex {
    use hera_protocol::key::{hex, unhex32};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(public: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(public))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex32(&text).ok_or_else(|| de::Error::custom("public key is not 64 hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, serve: &[&str], share: bool) -> NewKey {
        let serve = serve.iter().map(|&text| text.to_owned()).collect();
        NewKey { name: name.into(), serve, share, ..NewKey::default() }
    }

    fn record(name: &str, serve: &[&str], share: bool, others: &[KeyRecord]) -> Result<KeyRecord, Error> {
        new(name, serve, share)
            .into_record(&ClusterKey::from_bytes([1; 32]), others, 0)
            .map(|(record, _)| record)
    }

    #[test]
    fn key_text_carries_the_cluster_and_fits_its_record() {
        let cluster = ClusterKey::from_bytes([1; 32]);

        let (record, key) = new("ads", &[], false).into_record(&cluster, &[], 0).unwrap();

        let read = WorkerKey::parse(&key.to_text()).unwrap();
        assert_eq!(read.id, record.id);
        assert_eq!(read.cluster, cluster.identity_public());
        assert_eq!(Signer::from_seed(&read.seed).public(), record.public);
        assert!(!serde_json::to_string(&record).unwrap().contains(&hera_protocol::key::hex(&key.seed)));
    }

    #[test]
    fn overlap_with_another_service_names_owner_and_pattern() {
        let ads = record("ads", &["/0/ads/**"], false, &[]).unwrap();

        let error = record("shop", &["/0/shop/**", "/0/*/x"], false, &[ads]).unwrap_err();

        assert_eq!(error.code(), "prefix_owned");
        let Error::PrefixOwned { prefix, owner, owned } = error else { panic!("{error}") };
        assert_eq!((prefix.as_str(), owner.as_str(), owned.as_str()), ("/0/*/x", "ads", "/0/ads/**"));
    }

    #[test]
    fn overlap_is_taken_with_share_and_within_one_service() {
        let ads = record("ads", &["/0/ads/**"], false, &[]).unwrap();

        record("shop", &["/0/**"], true, std::slice::from_ref(&ads)).unwrap();
        record("other", &["/0/adsx/**"], false, std::slice::from_ref(&ads)).unwrap();
        record("two", &["/1/**", "/1/x"], false, &[ads]).unwrap();
    }

    #[test]
    fn change_replaces_what_it_names_and_judges_only_new_prefixes() {
        let ads = record("ads", &["/0/ads/**"], false, &[]).unwrap();
        let guest = record("guest", &["/0/ads/guest/**"], true, std::slice::from_ref(&ads)).unwrap();
        let all = [ads.clone(), guest];

        let call = KeyChange { call: Some(vec!["GET /1/**".into()]), ..KeyChange::default() };
        let changed = call.apply(&ads, &all).unwrap();
        assert_eq!(changed.listing().call, ["GET /1/**"]);
        assert_eq!(changed.listing().serve, ["/0/ads/**"]);
        assert_eq!(changed.id, ads.id);

        let wider = KeyChange { serve: Some(vec!["/0/**".into()]), ..KeyChange::default() };
        assert_eq!(wider.apply(&ads, &all).unwrap_err().code(), "prefix_owned");
    }
}
