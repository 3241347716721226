//! HAProxy in front of a broker, with the settings that are shipped with Hera as far as they concern what a caller sends.

use crate::broker::TestBroker;
use crate::http::{HttpConnection, Request, Response};
use crate::log::Log;
use crate::wait::{PATIENCE, wait_at_most, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const READY: &str = "/-/ready";
/// Tells the HAProxies of one test process apart.
static COUNT: AtomicU32 = AtomicU32::new(0);
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
}

impl Haproxy {
    /// Starts one in front of `broker`, which is ready by then, and waits until it serves.
    pub fn before(broker: &TestBroker) -> Haproxy {
        wait_until("the broker to be ready", || broker.ask(&Request::get(READY)).status == 200);
        Haproxy::before_all(&[broker.http()])
    }

    /// Starts one in front of these brokers, with the settings that are shipped with Hera, and waits until it serves.
    pub fn before_all(brokers: &[SocketAddr]) -> Haproxy {
        // The socket is made here and handed over as its standard input: the port is known, and nobody can take it in between.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Haproxy::start(&configuration(brokers), address, Stdio::from(OwnedFd::from(listener)))
    }

    /// Starts one with this whole configuration, which binds `address`, and waits until it serves.
    pub fn with_configuration(configuration: &str, address: SocketAddr) -> Haproxy {
        Haproxy::start(configuration, address, Stdio::null())
    }

    fn start(configuration: &str, address: SocketAddr, stdin: Stdio) -> Haproxy {
        let dir = tempfile::tempdir().unwrap();
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
        wait_until("HAProxy to serve", || {
            TcpStream::connect(address).is_ok() && haproxy.ask(&Request::get(READY)).status == 200
        });
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
        let state = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            let is_server = !matches!(*fields.get(server)?, "FRONTEND" | "BACKEND" | "first");
            is_server.then(|| ServerState {
                backend: fields[backend].to_owned(),
                server: fields[server].to_owned(),
                status: fields[status].to_owned(),
                calls: fields[calls].parse().unwrap_or(0),
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

/// The settings that are shipped with Hera, for brokers named `b1`, `b2` and so on. One thread, so that the log has the order of what happened.
///
/// `req.fhdr` and not `req.hdr`, which takes the last part between commas: setting a header again from that would make one token of two, and refuse nothing.
fn configuration(brokers: &[SocketAddr]) -> String {
    let named = brokers.iter().zip(1..);
    let servers: String = named.map(|(address, n)| format!("    server b{n} {address} check\n")).collect();
    let error = |status: u16, executed: &str| {
        format!(
            "    http-error status {status} content-type application/problem+json lf-string \
             '{{\"type\":\"about:blank\",\"status\":{status},\"code\":\"proxy_{status}\"}}' hdr Hera-Executed {executed}\n"
        )
    };
    let errors = |executed_503: &str| {
        [(500, "maybe"), (502, "maybe"), (503, executed_503), (504, "maybe")]
            .map(|(status, executed)| error(status, executed))
            .concat()
    };
    let (front_errors, idem_errors, once_errors) =
        ([error(400, "no"), error(408, "no")].concat(), errors("maybe"), errors("no"));
    // HAProxy closes a caller's connection in silence when a broker is lost under any but the first call on it ("the client is required to
    // retry"), and no option turns that off. Calls that it may not send again go through a connection of its own each, within the same
    // process, so that they are first ones and are answered 502.
    let first = format!("abns@hera-first-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let checks = r#"    option httpchk
    http-check send meth GET uri /-/ready ver HTTP/1.1 hdr Host hera
    http-check disable-on-404
    http-response set-status 503 if { status 425 }
"#;
    format!(
        r#"global
    nbthread 1
    maxconn 4000
    tune.bufsize 65536
    log stdout format raw local0

defaults
    mode http
    log global
    option http-buffer-request
    option redispatch 1
    retries 2
    timeout http-request 10s
    timeout http-keep-alive 20s
    timeout client 30s
    timeout connect 1s
    timeout queue 2s
    timeout server 310s
    timeout tunnel 1h
    timeout check 400ms
    default-server inter 500ms fastinter 100ms fall 2 rise 2 observe layer4 error-limit 3 on-error mark-down on-marked-down shutdown-sessions maxconn 1000

frontend callers
    bind fd@0
{front_errors}    log-format "request %ST %[var(txn.worker)] %HM %HU %s %tsc %Tt"
    http-request deny deny_status 400 if {{ req.fhdr_cnt(Hera-Token) gt 1 }} || {{ req.fhdr_cnt(Hera-Timeout) gt 1 }}
    http-request set-var(txn.timeout) req.fhdr(Hera-Timeout)
    http-request set-var(txn.token) req.fhdr(Hera-Token)
    http-request del-header hera- -m beg
    http-request set-header Hera-Timeout %[var(txn.timeout)] if {{ var(txn.timeout) -m found }}
    http-request set-header Hera-Token %[var(txn.token)] if {{ var(txn.token) -m found }}
    http-request set-header Hera-Peer retry-425
    http-request set-header X-Forwarded-For %[src]
    http-response set-var(txn.worker) res.hdr(Hera-Worker)
    acl idempotent method GET HEAD OPTIONS PUT DELETE
    use_backend idem if idempotent
    default_backend once

backend idem
{checks}{idem_errors}    retry-on conn-failure empty-response 425
{servers}
backend once
    http-reuse never
    option http-server-close
{once_errors}    server first {first}

frontend first
    bind {first}
    default_backend once_brokers

backend once_brokers
    http-reuse always
{checks}{once_errors}    retry-on conn-failure 425
{servers}"#
    )
}
