//! HAProxy in front of a broker, with the settings that are shipped with Hera as far as they concern what a caller sends.

use crate::broker::TestBroker;
use crate::http::{HttpConnection, Request, Response};
use crate::log::Log;
use crate::wait::wait_until;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const READY: &str = "/-/ready";

/// A running HAProxy: ended when dropped, its log shown when the test fails.
#[derive(Debug)]
pub struct Haproxy {
    address: SocketAddr,
    child: Child,
    log: Log,
    _dir: tempfile::TempDir,
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

impl Haproxy {
    /// Starts one in front of `broker`, which is ready by then, and waits until it serves.
    pub fn before(broker: &TestBroker) -> Haproxy {
        wait_until("the broker to be ready", || broker.ask(&Request::get(READY)).status == 200);
        // The socket is made here and handed over as its standard input: the port is known, and nobody can take it in between.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("haproxy.cfg");
        std::fs::write(&file, configuration(broker.http())).unwrap();
        let mut child = Command::new(binary())
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("haproxy (package haproxy) does not start: {error}"));
        let log = Log::of(child.stdout.take().unwrap());
        let haproxy = Haproxy { address, child, log, _dir: dir };
        wait_until("HAProxy to serve", || haproxy.ask(&Request::get(READY)).status == 200);
        haproxy
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
            eprintln!("---- log of HAProxy ----\n{}", self.log.lines().join("\n"));
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

/// One thread, so that the log has the order of what happened.
///
/// `req.fhdr` and not `req.hdr`, which takes the last part between commas: setting a header again from that would make one token of two, and refuse nothing.
fn configuration(broker: SocketAddr) -> String {
    format!(
        r#"global
    nbthread 1
    maxconn 500
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
    timeout check 500ms
    default-server inter 500ms fastinter 200ms fall 2 rise 2 observe layer4 error-limit 3 on-error mark-down on-marked-down shutdown-sessions maxconn 400

frontend callers
    bind fd@0
    log-format "request %ST %[var(txn.worker)] %HM %HU"
    http-request deny deny_status 400 if {{ req.fhdr_cnt(Hera-Token) gt 1 }} || {{ req.fhdr_cnt(Hera-Timeout) gt 1 }}
    http-request set-var(txn.timeout) req.fhdr(Hera-Timeout)
    http-request set-var(txn.token) req.fhdr(Hera-Token)
    http-request del-header hera- -m beg
    http-request set-header Hera-Timeout %[var(txn.timeout)] if {{ var(txn.timeout) -m found }}
    http-request set-header Hera-Token %[var(txn.token)] if {{ var(txn.token) -m found }}
    http-request set-header Hera-Peer retry-425
    http-request set-header X-Forwarded-For %[src]
    http-response set-var(txn.worker) res.hdr(Hera-Worker)
    http-response set-status 503 if {{ status 425 }}
    acl idempotent method GET HEAD OPTIONS PUT DELETE
    use_backend idem if idempotent
    default_backend once
    option httpchk
    http-check send meth GET uri /-/ready ver HTTP/1.1 hdr Host hera
    http-check disable-on-404

backend idem
    option httpchk
    http-check send meth GET uri /-/ready ver HTTP/1.1 hdr Host hera
    http-check disable-on-404
    retry-on conn-failure empty-response 425
    server broker {broker} check

backend once
    option httpchk
    http-check send meth GET uri /-/ready ver HTTP/1.1 hdr Host hera
    http-check disable-on-404
    retry-on conn-failure 425
    server broker {broker} check
"#
    )
}
