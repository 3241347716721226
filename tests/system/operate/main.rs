//! `docs/operate` is true: its commands are run in order with real brokers, ZooKeeper and HAProxy, and what it names exists.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod names;
mod page;
mod scene;

use hera_testkit::TestZooKeeper;
use page::{Kind, PAGES, blocks};
use std::sync::{Mutex, PoisonError};

/// The hosts of the pages have fixed ports.
static HOSTS: Mutex<()> = Mutex::new(());

/// Blocks that no test runs are to stay few.
const MACHINE_MAX: usize = 2;

#[test]
fn each_block_says_how_it_is_tested() {
    let all: Vec<_> = PAGES.into_iter().flat_map(blocks).collect();
    let untagged = all.iter().filter(|block| block.kind == Kind::Untagged);
    let untagged: Vec<String> = untagged.map(|block| format!("{}:{}", block.page, block.line)).collect();

    assert!(
        untagged.is_empty(),
        "{untagged:?} are neither `sh run HOST`, `sh machine` nor `LANGUAGE PATH HOST`"
    );
    assert!(all.iter().filter(|block| block.kind == Kind::Machine).count() <= MACHINE_MAX);
}

#[test]
fn one_broker_is_installed_as_its_page_says() {
    let _alone = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);

    scene::run(&["install.md"], None);
}

#[test]
fn one_becomes_many_is_rolled_out_and_watched_as_the_pages_say() {
    let _alone = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
    let zookeeper = TestZooKeeper::ensemble(3);

    let haproxy = scene::run(&["one-to-many.md", "roll-out.md", "alarms.md"], Some(&zookeeper));

    assert!(haproxy.contains("is stopping"), "the brokers were restarted: {haproxy}");
    assert!(!haproxy.contains("has no server available"), "there was a moment without any broker: {haproxy}");
}
