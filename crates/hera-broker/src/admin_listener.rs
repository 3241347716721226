//! The admin door: the same strict HTTP front as the public one, on the control thread, in front of [`crate::admin::answer`].

use crate::admin::{self, AdminParts, AdminReply, AdminRequest};
use crate::core::Shared;
use crate::drain::Readiness;
use crate::http::request::{Framing, Incoming};
use crate::http::response::reason;
use crate::io::poll_read_buf;
use crate::moment::Moment;
use crate::{clock, metrics};
use bytes::BytesMut;
use hera_balance::health::SLOW_START;
use hera_registry::{AdminToken, Registry};
use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// Connections of operators and scrapers at once.
pub const CONNECTIONS_MAX: usize = 64;
/// Largest body of a verb.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// A request and its answer, and the wait for the next one.
const TIME: Duration = Duration::from_secs(10);

/// Serves the admin API until the broker ends.
pub async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let Ok(listen) = listener.local_addr() else { return };
    let token = match shared.registry.files().admin_token() {
        Ok(token) => token,
        Err(error) => return tracing::error!(%error, "the admin API has no token and stays closed"),
    };
    let parts = Rc::new(Parts { shared, token, listen });
    let open = Rc::new(Cell::new(0));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            clock::pause(Duration::from_millis(100)).await;
            continue;
        };
        if open.get() >= CONNECTIONS_MAX {
            continue;
        }
        open.set(open.get() + 1);
        let (parts, open) = (parts.clone(), open.clone());
        tokio::task::spawn_local(async move {
            let _ = serve(&parts, stream).await;
            open.set(open.get() - 1);
        });
    }
}

async fn serve(parts: &Parts, mut stream: TcpStream) -> Option<()> {
    let mut input = BytesMut::new();
    loop {
        let request = tokio::time::timeout(TIME, read(&mut stream, &mut input)).await.ok()??;
        let (reply, is_head, close) = match request {
            Ok((request, close)) => {
                let is_head = request.method == "HEAD";
                (admin::answer(&request, parts).await, is_head, close)
            }
            Err(reply) => (reply, false, true),
        };
        let mut out = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status)).into_bytes();
        let length = reply.body.len().to_string();
        let fixed = [
            ("Date", clock::http_date()),
            ("Content-Type", reply.content_type.to_owned()),
            ("Content-Length", length),
        ];
        for (name, value) in fixed.into_iter().chain(reply.headers) {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(if close { b"Connection: close\r\n\r\n" } else { b"\r\n" });
        if !is_head {
            out.extend_from_slice(&reply.body);
        }
        tokio::time::timeout(TIME, stream.write_all(&out)).await.ok()?.ok()?;
        if close {
            return stream.shutdown().await.ok();
        }
    }
}

/// The next request, or the answer to one that cannot be read; `None` when the connection ended.
async fn read(
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Option<Result<(AdminRequest, bool), AdminReply>> {
    let refuse = |status, detail: &str| {
        let body = serde_json::json!({"code": "bad_request", "detail": detail}).to_string();
        Some(Err(AdminReply {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: body.into(),
        }))
    };
    let incoming = loop {
        match Incoming::take(input) {
            Ok(Some(incoming)) => break incoming,
            Ok(None) => fill(stream, input).await?,
            Err(refusal) => return refuse(refusal.status(), &refusal.detail),
        }
    };
    let length = match incoming.framing {
        Framing::None => 0,
        Framing::Length(length) if length <= BODY_BYTES_MAX as u64 => length as usize,
        Framing::Length(_) => return refuse(413, "the body exceeds 1 MiB"),
        Framing::Chunked => return refuse(411, "the admin API wants a Content-Length"),
    };
    if incoming.expects_continue {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    while input.len() < length {
        fill(stream, input).await?;
    }
    let header = |name| incoming.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let request = AdminRequest {
        method: incoming.method().to_owned(),
        path: incoming.raw_path().to_owned(),
        query: incoming.query().map(str::to_owned),
        authorization: header("authorization"),
        host: header("host"),
        origin: header("origin"),
        body: input.split_to(length).to_vec(),
    };
    Some(Ok((request, incoming.wants_close)))
}

async fn fill(stream: &mut TcpStream, input: &mut BytesMut) -> Option<()> {
    input.reserve(8 * 1024);
    let bytes = poll_fn(|cx| poll_read_buf(stream, input, cx)).await.ok()?;
    (bytes > 0).then_some(())
}

struct Parts {
    shared: Arc<Shared>,
    token: AdminToken,
    listen: SocketAddr,
}

impl AdminParts for Parts {
    fn registry(&self) -> &Registry {
        self.shared.registry.registry()
    }

    fn registry_changed(&self) {
        self.shared.registry.refresh(&self.shared);
    }

    fn admin_token(&self) -> &AdminToken {
        &self.token
    }

    fn listen(&self) -> SocketAddr {
        self.listen
    }

    fn hosts(&self) -> &[String] {
        &self.shared.config.admin.hosts
    }

    fn now_unix(&self) -> u64 {
        clock::unix_now()
    }

    fn metrics_text(&self) -> String {
        metrics::render(&self.shared)
    }

    fn workers_json(&self) -> String {
        let (now, unix) = (Moment::now(), clock::unix_now());
        let ejected = self.shared.table.load().ejected(self.shared.now_ms(now));
        let workers: Vec<serde_json::Value> = self
            .shared
            .roster
            .workers()
            .into_iter()
            .map(|(worker, endpoints)| {
                let report = worker.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                let age = now.since(worker.since);
                let state = match (worker.draining.load(Ordering::Relaxed), &report.busy) {
                    (true, _) => "draining",
                    (false, Some(_)) => "busy",
                    (false, None) if age < SLOW_START => "starting",
                    (false, None) => "ok",
                };
                let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
                let ping = worker.ping_us.load(Ordering::Relaxed);
                serde_json::json!({
                    "service": worker.service, "version": worker.version, "instance": worker.instance,
                    "library": worker.library, "peer": worker.peer, "state": state, "busy": report.busy,
                    "in_flight": worker.in_flight.load(Ordering::Relaxed),
                    "answered": worker.answered.load(Ordering::Relaxed),
                    "cpu": finite(report.load.cpu), "rss_bytes": finite(report.load.rss_bytes).map(|bytes| bytes as u64),
                    "delay_ms": finite(report.load.delay_ms),
                    "ping_ms": (ping > 0).then_some(f64::from(ping) / 1000.0),
                    "endpoints": endpoints, "ejected": ejected.get(&worker.session).copied().unwrap_or(0),
                    "connected": unix.saturating_sub(now.since(worker.since).as_secs()),
                })
            })
            .collect();
        serde_json::Value::from(workers).to_string()
    }

    fn endpoints_json(&self) -> String {
        let table = self.shared.table.load();
        let endpoints: Vec<serde_json::Value> = table
            .all
            .iter()
            .map(|route| {
                let totals = route.state.counters.totals();
                let millis = |share| totals.quantile_us(share) as f64 / 1000.0;
                serde_json::json!({
                    "endpoint": route.label, "service": route.service, "workers": route.targets.len(),
                    "timeout_ms": route.timeout_ms, "body_bytes_max": route.body_bytes_max, "idempotent": route.may_run_twice(&route.method),
                    "calls": totals.calls(), "p50_ms": millis(0.5), "p99_ms": millis(0.99),
                })
            })
            .collect();
        serde_json::Value::from(endpoints).to_string()
    }

    fn brokers_json(&self) -> String {
        let config = &self.shared.config;
        let others = self.shared.registry.brokers();
        let state = match self.shared.phase.readiness(&self.shared, Moment::now()) {
            Readiness::Ready => "ready",
            Readiness::Draining => "draining",
            Readiness::Young => "young",
        };
        let started = clock::unix_now().saturating_sub(self.shared.start.elapsed().as_secs());
        let broker = serde_json::json!({
            "id": self.shared.id, "state": state, "http": config.http.listen.to_string(),
            "workers": config.workers.listen.to_string(), "admin": self.listen.to_string(),
            "version": env!("CARGO_PKG_VERSION"), "started": started,
        });
        // Of the others it is known that they are registered, and no more.
        let others = others.into_iter().filter(|node| node.id != self.shared.id).map(|node| {
            serde_json::json!({
                "id": node.id, "state": "registered", "http": node.http,
                "workers": format!("{}:{}", node.address, node.port), "admin": node.admin,
                "version": node.version, "started": node.started,
            })
        });
        serde_json::Value::from(std::iter::once(broker).chain(others).collect::<Vec<_>>()).to_string()
    }

    fn ready(&self) -> (bool, String) {
        let readiness = self.shared.phase.readiness(&self.shared, Moment::now());
        let checks = serde_json::json!({
            "ready": readiness == Readiness::Ready,
            "young": readiness == Readiness::Young,
            "draining": readiness == Readiness::Draining,
            "workers": self.shared.roster.connected(),
            "registry_loaded": self.shared.registry.is_loaded(),
            "registry_in_sync": self.shared.registry.is_in_sync(),
        });
        (readiness == Readiness::Ready, checks.to_string())
    }
}
