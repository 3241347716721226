//! `hera cluster init`.

use std::path::{Path, PathBuf};

use hera_broker::config::CLUSTER_KEY_FILE;
use hera_registry::ClusterKey;
use hera_registry::zookeeper::{Access, ZkUrl, init};

use crate::args::InitCluster;
use crate::failure::Failure;
use crate::output;
use crate::target::{block_on, variable};
use crate::time::now_unix;

pub(crate) fn init(args: &InitCluster) -> Result<(), Failure> {
    let url = ZkUrl::parse(&args.registry)?;
    let path = cluster_key_file(args.cluster_key.as_deref());
    let (key, is_new) = match path.try_exists() {
        Ok(true) => (ClusterKey::read(&path)?, false),
        _ => (ClusterKey::generate(), true),
    };
    // Written before ZooKeeper is touched: a tree whose key is lost is worth nothing, a key without a tree costs nothing.
    if is_new {
        key.write(&path)?;
    }
    let access = Access {
        ca_file: args.ca_file.clone(),
        open_acls: args.open_acls,
        ..Access::new(url.clone(), Some(key))
    };
    let record = block_on(init::init(&access, now_unix()))??;
    let made = if is_new { "made" } else { "used" };
    output::tell(&format!(
        "{made} the cluster key {}; every broker needs this file, and nothing else may read it",
        path.display()
    ));
    output::tell(&format!("laid out cluster {} in {url}", record.cluster));
    Ok(())
}

/// The file that is named, else that of the environment, else the usual one.
pub(crate) fn cluster_key_file(named: Option<&Path>) -> PathBuf {
    let named = named.map(Path::to_owned).or_else(|| variable("HERA_CLUSTER__KEY_FILE").map(PathBuf::from));
    named.unwrap_or_else(|| PathBuf::from(CLUSTER_KEY_FILE))
}
