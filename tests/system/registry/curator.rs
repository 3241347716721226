//! Programs on Apache Curator find brokers by its own discovery.

use hera_testkit::TestCluster;
use std::path::Path;
use std::process::Command;

#[test]
fn curators_discovery_reads_the_nodes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("curator");
    let built = Command::new("mvn")
        .args(["-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=target/classpath"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stdout));
    let classpath = std::fs::read_to_string(folder.join("target/classpath")).unwrap();
    let cluster = TestCluster::start();
    let brokers = [cluster.broker(), cluster.broker()];

    let listed = Command::new("java")
        .args(["-Xmx64m", "-cp", &format!("target/classes:{}", classpath.trim()), "ListBrokers"])
        .args([cluster.zookeeper.hosts(), cluster.path("")])
        .current_dir(&folder)
        .output()
        .unwrap();

    let mut found: Vec<String> = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    let mut expected: Vec<String> = brokers
        .iter()
        .map(|broker| format!("{} {} {}", broker.id(), broker.workers().ip(), broker.workers().port()))
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(&listed.stderr));
}
