//! What lies in ZooKeeper, and who may touch it (R-3, R-4).

use crate::zk::Stranger;
use hera_testkit::http::Request;
use hera_testkit::{TestBroker, TestCluster, Verdict, command, wait_until};
use zookeeper_client::Error;

#[test]
fn cluster_is_laid_out_once_and_strangers_read_brokers_alone() {
    let cluster = TestCluster::start();
    let token = cluster.token(&["GET /0/**"]);
    let stranger = Stranger::at(&cluster);

    let again = cluster.cli(["cluster", "init"]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("already"), "{}", again.stderr);

    assert_eq!(stranger.list("/brokers").unwrap(), Vec::<String>::new());
    for closed in ["/config", "/tokens", "/keys", "/services", "/tokens/names/token-1"] {
        assert_eq!(stranger.read(closed).unwrap_err(), Error::NoAuth, "{closed}");
    }
    for folder in ["/brokers", "/tokens", "/tokens/names", "/keys", "/services"] {
        assert_eq!(stranger.create(&format!("{folder}/x"), b"").unwrap_err(), Error::NoAuth, "{folder}");
    }
    let id = &token[5..21];
    assert_eq!(stranger.delete(&format!("/tokens/{}/{id}", &id[..2])).unwrap_err(), Error::NoAuth);
}

#[test]
fn broker_that_cannot_belong_to_the_cluster_says_so_and_ends_with_78() {
    let cluster = TestCluster::start();
    let own_key = cluster.dir().join("other.key");
    std::fs::copy(cluster.key_file(), &own_key).unwrap();
    let text = std::fs::read_to_string(&own_key).unwrap();
    let other = if text.starts_with('0') { text.replacen('0', "1", 1) } else { format!("0{}", &text[1..]) };
    std::fs::write(&own_key, other).unwrap();
    let start = |url: &str, key: &str| TestBroker::with_args(["--registry", url, "--cluster-key", key]).run();
    let right = cluster.key_file().display().to_string();

    let wrong_key = start(&cluster.url(), &own_key.display().to_string());
    let no_cluster = start(&cluster.zookeeper.url("/nothing/here"), &right);
    let no_key = start(&cluster.url(), &cluster.dir().join("none").display().to_string());

    for (verdict, text) in
        [(wrong_key, "does not fit"), (no_cluster, "hera cluster init"), (no_key, "no cluster key")]
    {
        assert_eq!(verdict.code, 78, "{}", verdict.stderr);
        assert!(verdict.stderr.contains(text) && verdict.stdout.is_empty(), "{}", verdict.stderr);
    }
}

#[test]
fn data_dir_of_a_standalone_broker_is_not_written_over() {
    let cluster = TestCluster::start();
    let standalone = TestBroker::start();
    let token = standalone.token(&["GET /0/**"]);
    standalone.kill();
    let data = standalone.data_dir().display().to_string();

    let verdict = cluster.builder().with_args(["--data-dir", &data]).run();

    assert_eq!(verdict.code, 78, "{}", verdict.stderr);
    assert!(verdict.stderr.contains("another --data-dir"), "{}", verdict.stderr);
    let kept = std::fs::read_to_string(standalone.data_dir().join("tokens.json")).unwrap();
    assert!(kept.contains(&token[5..21]));
}

#[test]
fn open_node_is_noticed_at_the_start() {
    let cluster = TestCluster::start();
    let credentials = credentials(&cluster);
    let operator = Stranger::at(&cluster).with_credentials(credentials.as_bytes());
    operator.delete("/services").unwrap();
    operator.create("/services", b"").unwrap();

    let verdict = cluster.builder().run();

    assert_eq!(verdict.code, 78, "{}", verdict.stderr);
    assert!(verdict.stderr.contains("/services") && verdict.stderr.contains("ACL"), "{}", verdict.stderr);
    drop(cluster.builder().with_env("HERA_REGISTRY__OPEN_ACLS", "true").start());
}

#[test]
fn verbs_on_zookeeper_and_those_of_a_broker_are_the_same() {
    let cluster = TestCluster::start();
    let broker = cluster.broker();
    let run = |at: &str, args: &[&str]| match at {
        "cluster" => cluster.cli(args.iter().copied()),
        _ => broker.cli(args.iter().copied()),
    };

    for (at, prefix) in ["cluster", "broker"].into_iter().enumerate() {
        let run = |args: &[&str]| run(prefix, args);
        let ok = |args: &[&str]| {
            let verdict = run(args);
            assert_eq!(verdict.code, 0, "{prefix} {args:?}: {}", verdict.stderr);
            verdict.stdout.trim().to_owned()
        };
        let refused = |args: &[&str], text: &str| {
            let verdict = run(args);
            assert!(
                verdict.code != 0 && verdict.stderr.contains(text),
                "{prefix} {args:?}: {}",
                verdict.stderr
            );
        };
        let (token, service) = (format!("{prefix}-token"), format!("{prefix}-service"));
        let serve = format!("/{at}/**");

        let first = ok(&["token", "create", "--name", &token, "--allow", "GET /0/**"]);
        refused(&["token", "create", "--name", &token], "exists");
        assert_ne!(ok(&["token", "rotate", &token]), first);
        assert!(ok(&["token", "list"]).contains(&token));
        ok(&["token", "revoke", &token]);
        refused(&["token", "revoke", &token], "no token has the name");
        ok(&["token", "create", "--name", &token]);

        ok(&["key", "create", "--name", &service, "--serve", &serve]);
        refused(&["key", "create", "--name", &service], "exists");
        refused(&["key", "create", "--name", "other", "--serve", &serve], "overlaps");
        ok(&["key", "update", &service, "--call", "GET /0/**"]);
        assert!(ok(&["key", "list"]).contains("GET /0/**"));
        ok(&["key", "rotate", &service]);
        ok(&["key", "revoke", &service]);
        refused(&["key", "rotate", &service], "no key has the name");
    }
}

#[test]
fn garbage_below_our_folders_is_skipped_and_counted() {
    let cluster = TestCluster::start();
    let token = cluster.token(&["GET /0/**"]);
    let operator = Stranger::at(&cluster).with_credentials(credentials(&cluster).as_bytes());
    operator.create("/tokens/00", b"").ok();
    operator.create("/tokens/00/0000000000000000", b"{}").unwrap();
    operator.create("/keys/ffffffffffffffff", &vec![b'x'; 900_000]).unwrap();
    operator.create("/services/ads", b"\xff\xfe").unwrap();
    operator
        .create("/brokers/b-fake", br#"{"name":"brokers","id":"b-fake","address":"a","port":1}"#)
        .unwrap();

    let broker = cluster.broker();

    assert_eq!(broker.ask(&Request::get("/0/x").token(&token)).status, 404);
    assert_eq!(broker.metric("hera_registry_nodes_skipped"), 4.0);
    assert_eq!(cluster.registered(), [broker.id()]);
    operator.delete("/services/ads").unwrap();
    wait_until("the broker to see that one is gone", || broker.metric("hera_registry_nodes_skipped") == 3.0);
}

/// What `addauth digest` takes, as spec/registry.md R-4 says: the password comes from the cluster key.
pub(crate) fn credentials(cluster: &TestCluster) -> String {
    use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let key = std::fs::read_to_string(cluster.key_file()).unwrap();
    let key = hera_protocol::key::unhex32(key.trim()).unwrap();
    let mut password = [0; 32];
    let info: [&[u8]; 1] = [b"hera/1 zookeeper digest"];
    Salt::new(HKDF_SHA256, &[]).extract(&key).expand(&info, Length).unwrap().fill(&mut password).unwrap();
    format!("hera:{}", hera_protocol::key::hex(&password))
}

#[test]
fn verb_without_zookeeper_says_where_it_looked() {
    let cluster = TestCluster::start();
    let mut command = command();
    command
        .args(["token", "list", "--registry", "zk://127.0.0.1:1/hera", "--cluster-key"])
        .arg(cluster.key_file());

    let verdict = Verdict::of(&mut command);

    assert_eq!(verdict.code, 1);
    assert!(verdict.stderr.contains("zk://127.0.0.1:1/hera is out of reach"), "{}", verdict.stderr);
}
