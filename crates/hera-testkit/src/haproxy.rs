//! HAProxy in front of brokers, with the configuration that is shipped with Hera.

use crate::binary::command;
use crate::broker::{TestBroker, Verdict};
use crate::http::{HttpConnection, Request, Response};
use crate::log::Log;
use crate::wait::{PATIENCE, wait_at_most, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

const READY: &str = "/-/ready";
const CONTROL: &str = "control.sock";
/// Last lines of the log of a failed test.
const LOG_SHOWN: usize = 200;

/// A running HAProxy: ended when dropped, its log shown when the test fails.
#[derive(Debug)]
pub struct Haproxy {
    address: SocketAddr,
    child: Child,
    log: Log,
    dir: tempfile::TempDir,
}

/// A request as HAProxy understood and logged it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// What the caller was answered.
    pub status: u16,
    /// `<BADREQ>` for bytes that HAProxy could not read as a request.
    pub method: String,
    /// As the caller sent it.
    pub target: String,
    /// Whether a worker answered.
    pub by_worker: bool,
}

/// A broker as HAProxy sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// `idem` or `once`.
    pub backend: String,
    /// Its name in the configuration.
    pub server: String,
    /// `UP`, `DOWN`, `NOLB` for one that drains, `UP 1/2` on the way.
    pub status: String,
    /// Calls that it has now.
    pub calls: u64,
    /// It came back a moment ago, and gets few calls and connections yet (`slowstart`).
    pub is_slow: bool,
}

impl Haproxy {
    /// Starts one in front of `broker`, which is ready by then, and waits until it serves.
    pub fn before(broker: &TestBroker) -> Haproxy {
        wait_until("the broker to be ready", || broker.ask(&Request::get(READY)).status == 200);
        Haproxy::before_all(&[broker.http()])
    }

    /// Starts one in front of these brokers with what `hera haproxy render` prints, and waits until it serves. Only the form of its log is
    /// another, and it has one thread, so that the log has the order of what happened.
    pub fn before_all(brokers: &[SocketAddr]) -> Haproxy {
        let haproxy = Haproxy::changed(brokers, &["--nbthread", "1"], with_own_log);
        wait_until("HAProxy to serve", || haproxy.ask(&Request::get(READY)).status == 200);
        haproxy
    }

    /// Starts one in front of these brokers with these options of `hera haproxy render`, and with `change` made to what that printed. It
    /// takes callers when this returns, whatever it answers them.
    pub fn changed(brokers: &[SocketAddr], options: &[&str], change: impl FnOnce(&str) -> String) -> Haproxy {
        let dir = tempfile::tempdir().unwrap();
        let configuration = change(&rendered(brokers, options));
        // The socket is made here and handed over as its standard input: the port is known, and nobody can take it in between.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Haproxy::start(dir, &configuration, address, Stdio::from(OwnedFd::from(listener)))
    }

    fn start(dir: tempfile::TempDir, configuration: &str, address: SocketAddr, stdin: Stdio) -> Haproxy {
        let (file, control) = (dir.path().join("haproxy.cfg"), dir.path().join("control.cfg"));
        std::fs::write(&file, configuration).unwrap();
        // In a file of its own, so that the configuration under test stays as it is.
        let socket = dir.path().join(CONTROL);
        std::fs::write(&control, format!("global\n    stats socket {} level admin\n", socket.display()))
            .unwrap();
        let mut child = Command::new(binary())
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .arg("-f")
            .arg(&control)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("haproxy (package haproxy) does not start: {error}"));
        let log = Log::of(child.stdout.take().unwrap());
        let haproxy = Haproxy { address, child, log, dir };
        wait_until("HAProxy to start", || UnixStream::connect(haproxy.dir.path().join(CONTROL)).is_ok());
        haproxy
    }

    /// Where callers come in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it answers to a command on its control socket, as `show stat`.
    pub fn control(&self, command: &str) -> String {
        let mut socket = UnixStream::connect(self.dir.path().join(CONTROL)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(format!("{command}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// All brokers as it sees them, once for each backend.
    pub fn servers(&self) -> Vec<ServerState> {
        let text = self.control("show stat");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap().trim_start_matches("# ").split(',').collect();
        let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
        let (backend, server, calls, status) = (at("pxname"), at("svname"), at("scur"), at("status"));
        let throttle = at("throttle");
        let state = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            let is_server = !matches!(*fields.get(server)?, "FRONTEND" | "BACKEND" | "first");
            is_server.then(|| ServerState {
                backend: fields[backend].to_owned(),
                server: fields[server].to_owned(),
                status: fields[status].to_owned(),
                calls: fields[calls].parse().unwrap_or(0),
                is_slow: !fields[throttle].is_empty(),
            })
        };
        lines.filter_map(state).collect()
    }

    /// Waits until it sees all these brokers, and all others not, as up.
    pub fn wait_up(&self, servers: &[&str]) {
        wait_at_most(PATIENCE * 3, &format!("HAProxy to have {servers:?} up"), || {
            self.servers()
                .iter()
                .all(|state| (state.status == "UP") == servers.contains(&state.server.as_str()))
        });
    }

    /// A connection of a caller.
    pub fn caller(&self) -> HttpConnection {
        HttpConnection::open(self.address)
    }

    /// Sends a request on a connection of its own and waits for its answer.
    pub fn ask(&self, request: &Request) -> Response {
        let mut connection = self.caller();
        connection.send(&request.bytes());
        connection.response_to(request.method())
    }

    /// Its log so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The requests that it logged so far, in order, without those by which this fixture waited for it.
    pub fn forwarded(&self) -> Vec<Forwarded> {
        let logged = self.log.lines();
        logged.iter().filter_map(|line| forwarded(line)).filter(|request| request.target != READY).collect()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // Those that went well are many, and tell little.
            let log = self.log.matching(|line| !line.starts_with("request 2"));
            eprintln!("---- log of HAProxy ----\n{}", log[log.len().saturating_sub(LOG_SHOWN)..].join("\n"));
        }
    }
}

/// Debian puts it where only root's `PATH` looks.
fn binary() -> &'static str {
    if Path::new("/usr/sbin/haproxy").exists() { "/usr/sbin/haproxy" } else { "haproxy" }
}

fn forwarded(line: &str) -> Option<Forwarded> {
    let mut words = line.strip_prefix("request ")?.split(' ');
    Some(Forwarded {
        status: words.next()?.parse().ok()?,
        by_worker: words.next()? != "-",
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
    })
}

/// What `hera haproxy render` prints for brokers named `b1`, `b2` and so on, callers that come in by standard input, and these options.
fn rendered(brokers: &[SocketAddr], options: &[&str]) -> String {
    let mut render = command();
    render.args(["haproxy", "render", "--bind", "fd@0", "--inner", &inner_address()]).args(options);
    for (address, n) in brokers.iter().zip(1..) {
        render.args(["--server", &format!("b{n}={address}")]);
    }
    let verdict = Verdict::of(&mut render);
    assert_eq!(verdict.code, 0, "{}", verdict.stderr);
    verdict.stdout
}

/// An address for each HAProxy to speak to itself: all of 127.0.0.0/8 is loopback, and tests run side by side.
fn inner_address() -> String {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{high}.{low}.{}:8001", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The same with lines of the log that this fixture reads: they tell the target as it was sent, and whether a worker answered.
fn with_own_log(configuration: &str) -> String {
    let own = "    http-after-response set-var(txn.worker) res.hdr(Hera-Worker)
    log-format \"request %ST %[var(txn.worker)] %HM %HU %[var(txn.broker)] %tsc %Tt\"";
    let lines = configuration
        .lines()
        .map(|line| if line.trim_start().starts_with("log-format ") { own } else { line });
    lines.flat_map(|line| [line, "\n"]).collect()
}
