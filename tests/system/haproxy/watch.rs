//! `hera haproxy render --watch`: the file follows the registry, and HAProxy the file.

use crate::configuration::{BINARY, front_certificate, samples};
use hera_testkit::http::{HttpConnection, Request};
use hera_testkit::{Log, TestBroker, TestCluster, Verdict, command, wait_at_most, wait_until};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A process of the test, ended when dropped.
struct Process {
    child: Child,
    log: Log,
}

impl Process {
    fn start(command: &mut Command) -> Process {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Log::of(child.stderr.take().unwrap());
        Process { child, log }
    }

    fn terminate(&mut self) -> Option<i32> {
        hera_tests::worker_process::signal("TERM", self.child.id());
        let mut status = None;
        wait_until("its end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.try_wait().is_ok_and(|status| status.is_some()) || {
            // A master takes its workers along only when it is asked.
            let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
            self.child.wait().is_ok()
        };
        if std::thread::panicking() {
            eprintln!("---- log ----\n{}", self.log.lines().join("\n"));
        }
    }
}

struct Stage {
    cluster: TestCluster,
    dir: tempfile::TempDir,
    callers: SocketAddr,
}

impl Stage {
    fn new() -> Stage {
        // HAProxy binds it again and again, so it cannot be handed over. Nobody else uses these addresses.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let callers =
            TcpListener::bind(SocketAddr::from(([127, high, low, 250], 0))).unwrap().local_addr().unwrap();
        Stage { cluster: TestCluster::start(), dir: tempfile::tempdir().unwrap(), callers }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("haproxy.cfg")
    }

    fn watch(&self, options: &[&str]) -> Process {
        let inner = format!("{}:{}", self.callers.ip(), self.callers.port() - 1);
        let mut watch = command();
        watch.args(["haproxy", "render", "--watch", "--registry", &self.cluster.url(), "--inner", &inner]);
        watch.args(["--bind", &self.callers.to_string(), "--cluster-key"]).arg(self.cluster.key_file());
        watch.arg("--output").arg(self.file()).args(options);
        Process::start(&mut watch)
    }

    /// The brokers in the file.
    fn listed(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        let servers = text.lines().filter(|line| line.starts_with("    server ") && line.contains("track"));
        servers.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect()
    }

    fn wait_listed(&self, brokers: &[&TestBroker]) {
        let mut ids: Vec<&str> = brokers.iter().map(|broker| broker.id()).collect();
        ids.sort_unstable();
        wait_at_most(Duration::from_secs(25), "the file to follow", || self.listed() == ids);
    }
}

fn lines_of(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[test]
fn render_prints_the_brokers_of_the_registry() {
    let stage = Stage::new();
    let brokers = [stage.cluster.broker(), stage.cluster.broker()];

    let rendered = stage.cluster.cli(["haproxy", "render"]);

    assert_eq!(rendered.code, 0, "{}", rendered.stderr);
    for broker in &brokers {
        assert!(rendered.stdout.contains(&format!("    server {} {}\n", broker.id(), broker.http())));
    }
}

#[test]
fn samples_of_the_page_with_a_registry_find_the_brokers() {
    let stage = Stage::new();
    let broker = stage.cluster.broker();
    front_certificate(stage.dir.path());
    let folder = stage.dir.path().display().to_string();
    let mut both = samples().into_iter().filter(|sample| sample.contains("--registry"));
    // As they stand, but for what is of another machine.
    let run = |sample: &str| {
        let mut words = sample.split("--registry ");
        let (before, after) = (words.next().unwrap(), words.next().unwrap());
        let options = after.split_once(' ').map_or("", |(_, options)| options);
        let options = options
            .replace("/etc/hera", &folder)
            .replace("/etc/haproxy", &folder)
            .replace("systemctl reload haproxy", "true")
            .replace("*:443", "'*:443'");
        let mut shell = command_of_shell(&format!(
            "exec {} haproxy render {before} --registry {} {options}",
            hera_testkit::hera().display(),
            stage.cluster.url()
        ));
        shell.env("HERA_CLUSTER__KEY_FILE", stage.cluster.key_file());
        shell
    };

    let printed = Verdict::of(&mut run(&both.next().unwrap()));
    assert!(printed.code == 0 && printed.stdout.contains(broker.id()), "{}", printed.stderr);
    let mut watch = Process::start(&mut run(&both.next().unwrap()));
    stage.wait_listed(&[&broker]);

    assert_eq!(watch.terminate(), Some(0));
}

fn command_of_shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]);
    shell
}

#[test]
fn file_follows_the_registry_and_keeps_who_left_for_a_while() {
    let stage = Stage::new();
    let reloads = stage.dir.path().join("reloads");
    let reload = format!("echo x >> {}", reloads.display());
    let first = stage.cluster.broker();
    let mut watch = stage.watch(&["--reload", &reload, "--keep", "12s"]);
    stage.wait_listed(&[&first]);
    wait_until("the first reload", || lines_of(&reloads) == 1);

    let second = stage.cluster.broker();
    stage.wait_listed(&[&first, &second]);
    assert!(
        std::fs::read_dir(stage.dir.path())
            .unwrap()
            .all(|entry| !entry.unwrap().path().ends_with("haproxy.cfg.new"))
    );

    second.sigterm();
    assert_eq!(second.wait_exit(), 0);
    assert_eq!(stage.listed().len(), 2, "who left may still have calls");
    stage.wait_listed(&[&first]);

    first.kill();
    wait_until("the registry to forget it", || stage.cluster.registered().is_empty());
    drop(stage.cluster.zookeeper);
    // A request to ZooKeeper has 10 s, and the list is asked for every 5 s.
    wait_at_most(Duration::from_secs(30), "the word that ZooKeeper is away", || {
        !watch.log.matching(|line| line.contains("the file stays as it is")).is_empty()
    });
    assert_eq!(watch.terminate(), Some(0));
    assert!(lines_of(&reloads) <= 4);
    assert!(std::fs::read_to_string(stage.dir.path().join("haproxy.cfg")).unwrap().contains(first.id()));
}

#[test]
fn what_haproxy_would_not_start_with_never_replaces_the_file() {
    let stage = Stage::new();
    let _broker = stage.cluster.broker();
    std::fs::write(stage.file(), "as it was").unwrap();

    let watch = stage.watch(&["--reload", "false", "--tls-cert", "/nowhere/front.pem"]);

    watch.log.wait("HAProxy's refusal", |line| {
        line.contains("HAProxy refuses") && line.contains("/nowhere/front.pem")
    });
    assert_eq!(std::fs::read_to_string(stage.file()).unwrap(), "as it was");
}

#[test]
fn reload_by_signal_refuses_nobody_and_brings_the_new_broker_in() {
    let stage = Stage::new();
    let first = stage.cluster.broker();
    let token = stage.cluster.token(&["* /0/**"]);
    let pid_file = stage.dir.path().join("haproxy.pid");
    let pid_option = pid_file.display().to_string();
    let mut watch = stage.watch(&["--pid-file", &pid_option]);
    stage.wait_listed(&[&first]);
    watch.log.wait("that there is no HAProxy yet", |line| line.contains("was not reloaded"));
    let mut haproxy = Command::new(BINARY);
    haproxy.arg("-W").arg("-f").arg(stage.file()).arg("-p").arg(&pid_file).stdout(Stdio::null());
    let haproxy = Process::start(&mut haproxy);
    let ask = || {
        let mut caller = HttpConnection::open(stage.callers);
        caller.send(&Request::get("/0/x").token(&token).bytes());
        caller.response()
    };
    wait_until("HAProxy to serve", || {
        std::net::TcpStream::connect(stage.callers).is_ok() && ask().status == 404
    });

    let second = stage.cluster.broker();
    let mut brokers = std::collections::BTreeSet::new();
    wait_at_most(Duration::from_secs(30), "calls to reach the new broker", || {
        let answer = ask();
        assert_eq!(answer.status, 404, "a reload is no fault that callers see: {answer:?}");
        brokers.insert(answer.header("hera-broker").unwrap().to_owned());
        brokers.contains(second.id())
    });

    assert_eq!(watch.terminate(), Some(0));
    drop(haproxy);
}
