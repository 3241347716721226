//! A whole configuration of HAProxy as text: the same for the same brokers and options, every group of lines with its reason.
//!
//! ```text
//! callers ──> to-inner ──(a connection for each call)──> inner ──┬──(may run twice, and whole in the buffer)──> idem ──> brokers
//!                                                                └──(all else)───────────────────────────────> once ──> brokers
//! ```
//!
//! A call goes through HAProxy twice for two reasons, both of HAProxy 2.6 (`docs/adr/0010-twice-through-haproxy.md`):
//!
//! - Where a broker dies with a call, HAProxy answers 502 to the first call of a connection, and closes the connection of any later one
//!   without a word. On `inner` every call is a first one.
//! - Only with `option abortonclose` does it see that a caller left. With that option in front of brokers, a call that waits for a connection to
//!   a broker is dropped, and not tried elsewhere, at the moment in which the broker is marked down. So the option stands in front of
//!   `inner` alone, where nothing is ever marked down; that `to-inner` leaves is a reset, and that is seen without it.

use std::fmt::Write;

use hera_protocol::{Code, Executed};

use super::options::Options;
use super::problem::Problem;
use super::server::Server;

/// Larger bodies may not fit the buffer beside the largest head, and what is not whole in it cannot be sent again.
const REPLAYED_BYTES_MAX: usize = 40 * 1024;

/// The configuration for these brokers, in the order in which they come; `skipped` says of others why they are none of them.
pub(crate) fn render(options: &Options, servers: &[Server], skipped: &[String]) -> String {
    let mut text = String::from(HEAD);
    for reason in skipped {
        let _ = writeln!(text, "# Left out: {}", crate::output::printable(reason));
    }
    global(&mut text, options);
    defaults(&mut text);
    callers(&mut text, options);
    inner(&mut text, options);
    idem(&mut text, options, servers);
    once(&mut text, options, servers);
    text
}

const HEAD: &str = "\
# HAProxy in front of Hera's brokers, for HAProxy 2.6 or later. Made by `hera haproxy render`: make it again rather than edit it.
# Try it with `haproxy -c -f FILE`, run it with `haproxy -db -f FILE`, or `haproxy -W -f FILE` to reload it with SIGUSR2.
";

fn global(text: &mut String, options: &Options) {
    let _ = write!(
        text,
        "
global
    # One line for each call; whoever runs HAProxy keeps its stdout.
    log stdout format raw local0
    # Twice the connections of callers: each call takes a second one, from HAProxy to itself.
    maxconn {}
    # A head that a broker allows must fit, and a body that is to be sent again. The usual 16 kB do neither.
    tune.bufsize 65536
    # A reload leaves the old process until its calls are done. No call takes longer.
    hard-stop-after 330s
    ssl-default-bind-options ssl-min-ver TLSv1.2
",
        options.maxconn.saturating_mul(2)
    );
    if let Some(threads) = options.nbthread {
        let _ = writeln!(text, "    nbthread {threads}");
    }
    if let Some(user) = &options.user {
        let _ = writeln!(
            text,
            "    # Ports and certificates are opened before.\n    user {user}\n    group {user}"
        );
    }
    if let Some(socket) = &options.stats {
        let _ = writeln!(
            text,
            "    # The Runtime API. A new process takes the listening sockets over from it, so that a reload refuses nobody.\n    \
             stats socket {socket} mode 600 level admin expose-fd listeners"
        );
    }
}

fn defaults(text: &mut String) {
    text.push_str(DEFAULTS);
    for problem in [
        Problem {
            status: 400,
            code: Code::BadRequest,
            executed: Executed::No,
            detail: "HAProxy could not read the request; nothing was forwarded",
        },
        Problem {
            status: 408,
            code: Code::RequestTimeout,
            executed: Executed::No,
            detail: "the request took longer than 10 s to arrive; nothing was forwarded",
        },
        Problem {
            status: 500,
            code: Code::InternalError,
            executed: Executed::Maybe,
            detail: "HAProxy met a defect or a limit of its own; the request id finds it in its log",
        },
        Problem {
            status: 502,
            code: Code::BrokerLost,
            executed: Executed::Maybe,
            detail: "the broker went away, or answered no HTTP, while it had the call; send it again if running it twice does no harm",
        },
        Problem {
            status: 503,
            code: Code::NoBroker,
            executed: Executed::No,
            detail: "no broker is ready and has room; no broker has run the call, so send it again in a moment",
        },
        Problem {
            status: 504,
            code: Code::BrokerTimeout,
            executed: Executed::Maybe,
            detail: "the broker was silent for longer than HAProxy waits; send it again if running it twice does no harm",
        },
    ] {
        let _ = writeln!(text, "    http-error {}", problem.reply());
    }
}

const DEFAULTS: &str = r#"
defaults
    mode http
    log global
    # Connections on which nothing was ever asked are no news: those of other balancers' checks, mostly.
    option dontlognull
    # Waits for the body, or a full buffer of it, before it dials: only what it holds can be sent to a second broker. The 10 s of
    # `timeout http-request` then bound slow bodies too.
    option http-buffer-request
    # A caller that left is not answered, and its call is cancelled.
    option abortonclose
    timeout http-request 10s
    # Towards callers. Brokers keep idle connections for 60 s, so HAProxy is always the one that closes first.
    timeout http-keep-alive 20s
    # A caller that sends or takes nothing. It does not run while the caller waits for its answer.
    timeout client 30s
    timeout connect 1s
    # With all brokers full, a call waits so long for room.
    timeout queue 2s
    # Over the longest deadline of a call (300 s): a slow answer is the broker's to judge. A frozen broker is cut by its check.
    timeout server 310s
    timeout tunnel 1h
    timeout check 400ms
    # A second and a third broker, for what each backend's `retry-on` allows; never the same one again.
    retries 2
    option redispatch 1
    # An unknown name takes its server out, and not all of HAProxy down.
    default-server init-addr last,libc,none

    # What HAProxy answers itself has the form of a broker's errors and says whether the call may have run. A head that it could not
    # read to its end is the exception: that is answered before any of this is looked at. Nothing of it was forwarded.
"#;

fn callers(text: &mut String, options: &Options) {
    text.push_str("\nfrontend callers\n");
    for bind in options.plain_off_loopback() {
        let _ = writeln!(
            text,
            "    # WARNING: {bind} is open to other machines without TLS: anyone on the way reads the callers' tokens. Give --tls-cert."
        );
    }
    for bind in &options.binds {
        let _ = match &options.tls_cert {
            // HTTP/2 ends here; brokers speak HTTP/1.1.
            Some(cert) => writeln!(text, "    bind {bind} ssl crt {cert} alpn h2,http/1.1"),
            None => writeln!(text, "    bind {bind}"),
        };
    }
    let _ = writeln!(text, "    # Over it, callers wait to be accepted.\n    maxconn {}", options.maxconn);
    text.push_str(NAMES);
    for (header, problem) in [
        (
            "Hera-Token",
            Problem {
                status: 400,
                code: Code::AmbiguousCredentials,
                executed: Executed::No,
                detail: "Hera-Token stands twice",
            },
        ),
        (
            "Hera-Timeout",
            Problem {
                status: 400,
                code: Code::BadTimeout,
                executed: Executed::No,
                detail: "Hera-Timeout stands twice",
            },
        ),
    ] {
        let _ =
            writeln!(text, "    http-request deny {} if {{ req.fhdr_cnt({header}) gt 1 }}", problem.reply());
    }
    text.push_str(HEADERS);
    let scheme = if options.tls_cert.is_some() { "https" } else { "http" };
    let _ = writeln!(text, "    http-request set-header X-Forwarded-Proto {scheme}");
    let _ = write!(
        text,
        "
    # No caller knows what 425 asks for: it is for HAProxy, which has asked all the brokers that it may.
    http-response set-status 503 if {{ status 425 }}
    http-after-response set-var(txn.broker) res.hdr(Hera-Broker)
    # What may run twice is asked again where HAProxy itself ends a call in silence. A body that may not be whole in the buffer cannot be.
    acl idempotent method GET HEAD OPTIONS PUT DELETE
    acl whole req.body_size le {REPLAYED_BYTES_MAX}
    use_backend to-inner-again if idempotent whole
    default_backend to-inner
",
    );
}

/// The request id and the log.
const NAMES: &str = r#"
    # The caller's request id where a broker would take it, else a new one: HAProxy's own errors have one too. Of a request whose body
    # never comes, no rule but a `tcp-request` is looked at.
    unique-id-format %[uuid()]
    tcp-request content set-var(txn.id) req.fhdr(X-Request-Id)
    tcp-request content set-var(txn.id) unique-id unless { var(txn.id) -m reg ^[A-Za-z0-9._-]{1,128}$ }
    http-request set-header X-Request-Id %[var(txn.id)]

    # One JSON line for each call, without the query, which may hold what is nobody's business. `end` is HAProxy's termination state.
    http-request set-var(txn.path) path,json(utf8s)
    log-format '{"time":"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]","request_id":"%[var(txn.id)]","client":"%ci","method":"%HM","path":"%[var(txn.path)]","status":%ST,"broker":"%[var(txn.broker)]","end":"%ts","ms":{"request":%TR,"answer":%Tr,"total":%Ta},"bytes":%B}'

    # `req.fhdr` and not `req.hdr`, which takes the last part between commas: setting a header again from that would make one token
    # of two, and refuse nothing.
"#;

/// What callers may not say, and what only HAProxy says.
const HEADERS: &str = r#"
    # Of a caller's Hera-* headers only these two are its own to set. Names are lower case inside HAProxy: a pattern ^Hera- would
    # remove nothing.
    http-request set-var(txn.timeout) req.fhdr(Hera-Timeout)
    http-request set-var(txn.token) req.fhdr(Hera-Token)
    http-request del-header hera- -m beg
    http-request set-header Hera-Timeout %[var(txn.timeout)] if { var(txn.timeout) -m found }
    http-request set-header Hera-Token %[var(txn.token)] if { var(txn.token) -m found }
    # A broker without a worker for the call says 425, and the next broker is asked. Brokers believe this, and the address of the
    # caller, from `http.trusted_peers` alone: this machine must be one of them.
    http-request set-header Hera-Peer retry-425
    # Set and not appended: what the caller says of its own address is worth nothing.
    http-request del-header x-forwarded- -m beg
    http-request del-header Forwarded
    http-request set-header X-Forwarded-For %[src]
"#;

fn inner(text: &mut String, options: &Options) {
    let _ = write!(
        text,
        r#"
# From here each call goes to HAProxy once more, on a connection of its own. Where a broker dies with a call, HAProxy 2.6 answers 502 to
# the first call of a connection, and closes the connection of any later one without a word; on `inner` every call is a first one.
# Also, `option abortonclose` stands here and not in front of the brokers: there, a call that waits for a connection to a broker would be
# dropped when the broker is marked down, and not be tried elsewhere. It has to be TCP: leaving is a reset here, and a Unix socket has none.
backend to-inner
    option http-server-close
    # Longer than the wait for the broker, so that its end is told by the side that knows what ended.
    timeout server 315s
    server inner {inner}

# A call that is given a broker in the very moment in which that broker is marked down ends without an answer, sent or not.
backend to-inner-again
    option http-server-close
    retry-on conn-failure empty-response
    timeout server 315s
    server inner {inner}

frontend inner
    bind {inner}
    maxconn {maxconn}
    # A second line for calls that took more than one broker, or ended badly.
    option dontlog-normal
    log-format '{{"time":"%[date,utime(%Y-%m-%dT%H:%M:%SZ)]","request_id":"%[var(txn.id)]","inner":true,"status":%ST,"broker":"%s","backend":"%b","end":"%ts","tries":"%rc","ms":{{"queue":%Tw,"connect":%Tc,"answer":%Tr,"total":%Ta}}}}'
    http-request set-var(txn.id) req.fhdr(X-Request-Id)
    # Which broker it was that did not answer.
    http-after-response set-header Hera-Broker %s if {{ status 502 504 }} ! {{ res.fhdr_cnt(Hera-Broker) gt 0 }}
    # What may run twice goes where a lost answer is asked for again. A body that may not be whole in the buffer cannot be.
    acl idempotent method GET HEAD OPTIONS PUT DELETE
    acl whole req.body_size le {REPLAYED_BYTES_MAX}
    use_backend idem if idempotent whole
    default_backend once
"#,
        inner = options.inner,
        maxconn = options.maxconn,
    );
}

/// Each broker is asked once for both backends.
const CHECKS: &str = "
    # 200 is ready, 404 draining: no new calls, and those under way are left alone. Only 5xx and silence are down.
    option httpchk
    http-check send meth GET uri /-/ready ver HTTP/1.1 hdr Host hera
    http-check disable-on-404
";

fn idem(text: &mut String, options: &Options, servers: &[Server]) {
    let problem = Problem {
        status: 503,
        code: Code::NoBroker,
        executed: Executed::Maybe,
        detail: "no broker is ready and has room; send it again in a moment",
    };
    let _ = write!(
        text,
        "
# Calls that may run twice: one that was sent and not answered goes to another broker.
backend idem
    balance roundrobin
    no option abortonclose
    retry-on conn-failure empty-response 425
    # Also for the first call of a connection, which all are: one that meets a broker's closing is asked again.
    http-reuse always
    # A broker may have run the call and died before HAProxy ran out of others.
    http-error {}
{CHECKS}    # Two checks that fail take a broker out; never its answers: one endpoint's own 5xx would take out all. Nor do refused connections
    # (`observe layer4`): those calls go to another broker anyway, and the mark would cut calls that are just connecting.
    # A broker that is down may be frozen, with calls in it: their connections are cut, so that they are asked again or answered. That
    # is after 300 + 400 + 100 + 400 ms at the latest.
    # A broker that comes back starts slowly. `maxconn` of both backends, of every HAProxy, is to stay under the broker's own limit
    # of connections (`http.connections_max`, 10000).
    default-server check inter 300ms fastinter 100ms fall 2 rise 2
    default-server on-marked-down shutdown-sessions slowstart 10s maxconn {}
",
        problem.reply(),
        options.server_maxconn
    );
    for server in servers {
        let _ = writeln!(text, "    server {} {server}{}", server.id, tls(options, server, true));
    }
}

fn once(text: &mut String, options: &Options, servers: &[Server]) {
    let _ = write!(
        text,
        "
# All other calls: another broker is tried only where the first one cannot have run the call.
backend once
    balance roundrobin
    no option abortonclose
    retry-on conn-failure 425
    # A connection each. On one that is used again, a call could meet a broker that is just closing it, and be lost.
    option http-server-close
{CHECKS}    # `track`: whether a broker is up is found out in `idem`.
    default-server on-marked-down shutdown-sessions slowstart 10s maxconn {}
",
        options.server_maxconn
    );
    for server in servers {
        let _ = writeln!(
            text,
            "    server {id} {server}{tls} track idem/{id}",
            id = server.id,
            tls = tls(options, server, false)
        );
    }
}

/// How a broker with TLS is spoken to. HAProxy compares the name of a certificate with a name, not with an address.
fn tls(options: &Options, server: &Server, checked: bool) -> String {
    let Some(ca_file) = options.ca_file.as_ref().filter(|_| server.tls) else { return String::new() };
    let mut text = format!(" ssl verify required ca-file {ca_file}");
    if server.has_name() {
        let host = &server.host;
        let _ = write!(text, " sni str({host}) verifyhost {host}");
        if checked {
            let _ = write!(text, " check-sni {host}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            binds: vec!["127.0.0.1:8000".to_owned()],
            tls_cert: None,
            ca_file: None,
            stats: None,
            maxconn: 4000,
            server_maxconn: 2000,
            nbthread: None,
            user: None,
            inner: "127.0.0.1:8001".to_owned(),
        }
    }

    fn servers(texts: &[&str]) -> Vec<Server> {
        texts.iter().map(|text| Server::parse(text).unwrap()).collect()
    }

    /// Compares with a file beside these tests; `HERA_WRITE=1` writes it anew, for `git diff` to show.
    fn is_as_in(file: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/haproxy").join(file);
        if std::env::var_os("HERA_WRITE").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        for (n, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
            assert_eq!(line, expected, "line {} of {file}; HERA_WRITE=1 writes it anew", n + 1);
        }
        assert_eq!(text, expected);
    }

    #[test]
    fn two_brokers_give_the_file_that_is_checked_in() {
        is_as_in(
            "plain.cfg",
            &render(&options(), &servers(&["b-1=10.0.0.7:8080", "b-2=[fd00::8]:8080"]), &[]),
        );
    }

    #[test]
    fn every_option_gives_the_file_that_is_checked_in() {
        let options = Options {
            binds: vec!["192.0.2.1:443".to_owned(), "[::]:443".to_owned()],
            tls_cert: Some("/etc/hera/front.pem".to_owned()),
            ca_file: Some("'/etc/my certificates/ca.pem'".to_owned()),
            stats: Some("/run/hera/haproxy.sock".to_owned()),
            maxconn: 100,
            server_maxconn: 50,
            nbthread: Some(2),
            user: Some("haproxy".to_owned()),
            inner: "[::1]:8001".to_owned(),
        };
        let servers = servers(&["b-1=https://b-1.hera:8443", "b-2=https://10.0.0.8:8443", "b-3=10.0.0.9:80"]);
        let skipped = ["the address \"x\u{1b}[31m\ny\" of broker b-4 has no port".to_owned()];
        is_as_in("tls.cfg", &render(&options, &servers, &skipped));
    }

    #[test]
    fn no_broker_gives_backends_without_servers() {
        let text = render(&options(), &[], &[]);

        let servers: Vec<&str> = text.lines().filter(|line| line.starts_with("    server ")).collect();
        assert_eq!(servers, ["    server inner 127.0.0.1:8001"; 2]);
    }

    #[test]
    fn only_plain_binds_that_others_reach_are_warned_of() {
        let warned = |bind: &str, cert: Option<&str>| {
            let options =
                Options { binds: vec![bind.to_owned()], tls_cert: cert.map(str::to_owned), ..options() };
            render(&options, &[], &[]).contains("WARNING")
        };

        assert!(warned("10.0.0.1:80", None) && warned("*:80", None) && warned("[::]:80", None));
        assert!(!warned("127.0.0.1:80", None) && !warned("[::1]:80", None) && !warned("fd@3", None));
        assert!(!warned("*:443", Some("/a.pem")));
    }
}
