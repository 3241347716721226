//! `hera broker` as a process, and the verbs that speak to it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hera_registry::{Standalone, TokenText};

/// A broker on free ports; killed on drop.
struct Broker {
    dir: tempfile::TempDir,
    child: Child,
    admin: String,
}

impl Broker {
    fn start() -> Broker {
        let dir = tempfile::tempdir().unwrap();
        let mut child = command(dir.path())
            .args(["broker", "--http", "127.0.0.1:0", "--workers", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--data-dir", "data"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("ready "), "{ready}");
        let admin = ready.split_whitespace().find_map(|word| word.strip_prefix("admin=")).unwrap().to_owned();
        Broker { dir, child, admin }
    }

    /// A verb over the admin API.
    fn verb(&self, arguments: &[&str]) -> (i32, String, String) {
        let at = ["--admin", &self.admin, "--data-dir", "data"];
        let output = command(self.dir.path()).args(arguments).args(at).output().unwrap();
        said(output)
    }

    fn registry(&self) -> Standalone {
        Standalone::open_existing(&self.dir.path().join("data"), None).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hera"));
    command.current_dir(dir);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HERA") {
            command.env_remove(name);
        }
    }
    command
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn verbs_act_through_the_admin_api_as_on_the_files() {
    let broker = Broker::start();

    let (code, token, stderr) = broker.verb(&["token", "create", "--name", "ads", "--allow", "GET /0/**"]);
    assert_eq!(code, 0, "{stderr}");
    let token = TokenText::parse(token.trim().as_bytes()).unwrap();
    assert!(broker.registry().load_snapshot().unwrap().tokens.contains_key(&token.digest()));

    assert_eq!(broker.verb(&["token", "create", "--name", "ads"]).0, 1);
    assert_eq!(broker.verb(&["token", "create", "--name", "x", "--rate", "fast"]).0, 2);
    assert!(broker.verb(&["token", "list"]).1.contains("GET /0/**"));
    assert_eq!(broker.verb(&["token", "rotate", "ads"]).0, 0);
    assert_eq!(broker.verb(&["token", "revoke", "ads"]).0, 0);

    let (code, key, _) = broker.verb(&["key", "create", "--name", "ads", "--serve", "/0/ads/**"]);
    assert_eq!((code, key.trim().len()), (0, 160));
    assert_eq!(broker.verb(&["key", "update", "ads", "--call", "GET /1/**"]).0, 0);
    assert!(broker.verb(&["key", "list"]).1.contains("GET /1/**"));
    assert_eq!(broker.verb(&["key", "revoke", "ads"]).0, 0);
}

#[test]
fn state_of_the_broker_is_shown() {
    let broker = Broker::start();

    assert!(broker.verb(&["brokers"]).1.contains("127.0.0.1"));
    assert_eq!(broker.verb(&["workers", "--json"]).1, "[]\n");
    assert_eq!(broker.verb(&["endpoints", "--json"]).1, "[]\n");
    assert_eq!(broker.verb(&["endpoints", "forget", "GET /0/x"]).0, 1);
}

#[test]
fn admin_token_of_another_broker_is_refused() {
    let (broker, other) = (Broker::start(), Broker::start());
    let token_file = other.dir.path().join("data/admin.token");

    let arguments =
        ["token", "list", "--admin", &broker.admin, "--admin-token-file", token_file.to_str().unwrap()];
    let (code, stdout, stderr) = said(command(broker.dir.path()).args(arguments).output().unwrap());

    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("admin token"));
}

#[test]
fn second_broker_of_a_data_dir_does_not_start() {
    let broker = Broker::start();

    let mut second = command(broker.dir.path());
    second.args(["broker", "--http", "127.0.0.1:0", "--workers", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let (code, stdout, stderr) = said(second.args(["--data-dir", "data"]).output().unwrap());

    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("another broker uses this data dir"));
}

#[test]
fn certificate_that_cannot_be_read_is_a_fault_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();

    let arguments = ["broker", "--http", "127.0.0.1:0", "--tls-cert", "none.pem", "--tls-key", "none.pem"];
    let (code, stdout, _) = said(command(dir.path()).args(arguments).output().unwrap());

    assert_eq!((code, stdout.as_str()), (78, ""));
}
