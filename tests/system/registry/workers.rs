//! Workers find every broker by ZooKeeper, and follow the list.

use crate::zk::Stranger;
use hera_testkit::http::Request;
use hera_testkit::{TestBroker, TestCluster, wait_at_most};
use hera_tests::in_every_language;
use hera_tests::worker_process::{Language, Orders, WorkerProcess};
use std::time::Duration;

/// A dial may be in the middle of its back-off.
const SOON: Duration = Duration::from_secs(15);

in_every_language! {
    worker_serves_at_every_broker_and_follows_the_list
    worker_started_without_zookeeper_dials_its_saved_list
}

struct Stage {
    cluster: TestCluster,
    token: String,
    orders: Orders,
}

impl Stage {
    fn new() -> Stage {
        let cluster = TestCluster::start();
        let token = cluster.token(&["* /0/**"]);
        let orders = Orders {
            brokers: cluster.url().trim_start_matches("zk://").to_owned(),
            secret: cluster.key("ads", &["/0/**"]),
            prefix: "/0/ads".to_owned(),
            environment: vec![("HERA_STATE_DIR", cluster.dir().join("state"))],
        };
        Stage { cluster, token, orders }
    }

    fn serves(&self, broker: &TestBroker) -> bool {
        broker.ask(&Request::get("/0/ads/pid").token(&self.token)).status == 200
    }

    fn wait_served(&self, what: &str, broker: &TestBroker) {
        wait_at_most(SOON, what, || self.serves(broker));
    }
}

fn worker_serves_at_every_broker_and_follows_the_list(language: Language) {
    let stage = Stage::new();
    let (one, two) = (stage.cluster.broker(), stage.cluster.broker());
    let worker = WorkerProcess::start(language, "w", &stage.orders);
    stage.wait_served("the worker at the first broker", &one);
    stage.wait_served("the worker at the second", &two);

    let three = stage.cluster.broker();
    stage.wait_served("the worker at a new broker", &three);

    // Its node goes and its connection stays: a broker without ZooKeeper is a broker all the same.
    let stranger = Stranger::at(&stage.cluster);
    two.sigterm();
    wait_at_most(SOON, "the broker to leave the list", || stranger.list("/brokers").unwrap().len() == 2);
    assert_eq!(two.wait_exit_within(SOON), 0);
    assert!(stage.serves(&one) && stage.serves(&three));

    worker.sigterm();
    assert!(worker.wait_exit().success());
}

fn worker_started_without_zookeeper_dials_its_saved_list(language: Language) {
    let mut stage = Stage::new();
    let broker = stage.cluster.broker();
    let first = WorkerProcess::start(language, "first", &stage.orders);
    stage.wait_served("the worker to serve", &broker);
    let saved = || std::fs::read_dir(stage.cluster.dir().join("state")).is_ok_and(|files| files.count() == 1);
    wait_at_most(SOON, "the list to be saved", saved);

    stage.cluster.zookeeper.kill(0);
    drop(first);
    wait_at_most(SOON, "the worker to be gone", || !stage.serves(&broker));
    let _second = WorkerProcess::start(language, "second", &stage.orders);

    stage.wait_served("a worker that never saw ZooKeeper", &broker);
}
