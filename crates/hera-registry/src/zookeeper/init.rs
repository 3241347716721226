//! `hera cluster init`: the cluster key and the tree, once.

use zookeeper_client::{CreateMode, Error as ZkError};

use super::layout::{self, SKELETON, Who};
use super::session::Access;
use super::tree::ClusterRecord;
use crate::error::Error;
use crate::record::{Kind, Sealer};
use crate::secret::random;
use hera_protocol::key::hex;

/// Makes the tree of a new cluster and gives its record. Errors: `already_initialised`, `registry_unavailable`.
///
/// `/config` is made last: a tree without it is unfinished, and the next try finishes it.
pub async fn init(access: &Access, now_unix: u64) -> Result<ClusterRecord, Error> {
    let (Some(rules), Some(key)) = (access.rules(), &access.key) else {
        return Err(access.unavailable("no cluster key was given"));
    };
    let chroot = access.url.chroot().to_owned();
    let root = Access {
        url: super::ZkUrl::parse(&access.url.to_string().replacen(
            &chroot,
            "",
            usize::from(!chroot.is_empty()),
        ))?,
        ..access.clone()
    };
    let client = root.connect().await?;

    // Ancestors of the chroot may be other clusters' too: they are made with everybody's rights, as `mkdir` in a shared tree.
    let segments: Vec<&str> = chroot.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut path = String::new();
    for (at, segment) in segments.iter().enumerate() {
        path = format!("{path}/{segment}");
        let last = at + 1 == segments.len();
        let acls = if last { rules.acls(Who::Closed) } else { zookeeper_client::Acls::anyone_all() };
        made(access, client.create(&path, &[], &CreateMode::Persistent.with_acls(acls)).await)?;
    }
    let client = match chroot.is_empty() {
        true => client,
        false => client.chroot(chroot).map_err(|_| access.unavailable("the chroot cannot be used"))?,
    };

    match access.within(client.check_stat(layout::CONFIG)).await? {
        Ok(None) => {}
        Ok(Some(_)) => return Err(Error::AlreadyInitialised { url: access.url.to_string() }),
        Err(error) => return Err(access.failed(&error)),
    }
    for (path, who) in SKELETON {
        made(access, client.create(path, &[], &CreateMode::Persistent.with_acls(rules.acls(who))).await)?;
    }
    let record = ClusterRecord { cluster: hex(&random::<16>()), created: now_unix };
    let sealed = Sealer::new(key).seal(Kind::Config, &record);
    let options = CreateMode::Persistent.with_acls(rules.acls(Who::Closed));
    match access.within(client.create(layout::CONFIG, sealed.get().as_bytes(), &options)).await? {
        Ok(_) => Ok(record),
        Err(ZkError::NodeExists) => Err(Error::AlreadyInitialised { url: access.url.to_string() }),
        Err(error) => Err(access.failed(&error)),
    }
}

fn made<T>(access: &Access, created: Result<T, ZkError>) -> Result<(), Error> {
    match created {
        Ok(_) | Err(ZkError::NodeExists) => Ok(()),
        Err(error) => Err(access.failed(&error)),
    }
}
