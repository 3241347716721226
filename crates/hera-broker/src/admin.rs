//! The admin listener's answers, as functions of a request: no socket here.
//!
//! ```text
//! GET    /healthz  /readyz  /metrics                   no token
//! GET    /v1/tokens            POST /v1/tokens         POST /v1/tokens/{name}/rotate    DELETE /v1/tokens/{name or id}
//! GET    /v1/keys              POST /v1/keys           POST /v1/keys/{name}/rotate      DELETE /v1/keys/{name or id}
//!                                                      PATCH /v1/keys/{name}
//! GET    /v1/brokers           GET /v1/workers         GET /v1/endpoints                DELETE /v1/endpoints?endpoint=…
//! ```
//!
//! Everything under `/v1/` needs the admin token. Every request, with a token or not, must name a `Host` that is ours:
//! a page in somebody's browser whose name was bound to 127.0.0.1 a moment ago (DNS rebinding) names its own.

mod guard;
mod verbs;

use std::net::SocketAddr;

use hera_registry::{AdminToken, Registry};

pub use verbs::registry_verb;

/// A request as it came in. The server bounds the head and the body before.
#[derive(Clone, Debug, Default)]
pub struct AdminRequest {
    /// As sent, as `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without `?`.
    pub query: Option<String>,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The header `Host`.
    pub host: Option<String>,
    /// The header `Origin`.
    pub origin: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// What to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminReply {
    /// HTTP status.
    pub status: u16,
    /// Header `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body; for HEAD the server counts it and does not send it.
    pub body: Vec<u8>,
}

/// What the answers are made of: a broker's parts, or a test's.
///
/// The JSON texts are arrays of objects. `hera workers`, `hera brokers` and `hera endpoints` show these members and pass
/// over others; times are unix seconds:
/// workers `service`, `version`, `instance`, `state`, `in_flight`, `cpu`, `rss_bytes`, `ping_ms`, `endpoints`, `ejected`, `connected`;
/// brokers `id`, `state`, `http`, `workers`, `admin`, `version`, `started`;
/// endpoints `endpoint`, `service`, `workers`, `calls`, `p50_ms`, `p99_ms`, `timeout_ms`, `idempotent`.
pub trait AdminParts {
    /// Tokens, keys and catalogue.
    fn registry(&self) -> &Registry;
    /// Called after a verb changed the registry, so that a revoked token is refused at once and not at the next poll.
    fn registry_changed(&self) {}
    /// What `Authorization: Bearer …` must carry.
    fn admin_token(&self) -> &AdminToken;
    /// The address that the admin listener is bound to.
    fn listen(&self) -> SocketAddr;
    /// Further values of `Host`, in lower case: `admin.hosts`.
    fn hosts(&self) -> &[String];
    /// Seconds since 1970.
    fn now_unix(&self) -> u64;
    /// Metrics in the text format of Prometheus.
    fn metrics_text(&self) -> String;
    /// The workers connected here.
    fn workers_json(&self) -> String;
    /// The endpoints known, with how many workers serve each.
    fn endpoints_json(&self) -> String;
    /// The brokers of the cluster.
    fn brokers_json(&self) -> String;
    /// Whether the broker is ready, and its checks as JSON.
    fn ready(&self) -> (bool, String);
}

/// Answers one request. Pure but for what `parts` does.
pub async fn answer(request: &AdminRequest, parts: &dyn AdminParts) -> AdminReply {
    if let Err(refusal) = guard::check_host(request, parts.listen(), parts.hosts()) {
        return refusal;
    }
    if let Err(refusal) = guard::check_origin(request) {
        return refusal;
    }
    let reads = matches!(request.method.as_str(), "GET" | "HEAD");
    match request.path.as_str() {
        "/healthz" | "/readyz" | "/metrics" if !reads => AdminReply::not_allowed("GET, HEAD"),
        "/healthz" => AdminReply::new(200, TEXT, "ok\n"),
        "/readyz" => {
            let (ready, checks) = parts.ready();
            AdminReply::new(if ready { 200 } else { 503 }, JSON, checks)
        }
        "/metrics" => AdminReply::new(200, METRICS, parts.metrics_text()),
        path if !path.starts_with("/v1/") => AdminReply::error(404, "not_found", "no such path here"),
        path => match guard::check_token(request, parts.admin_token()) {
            Err(refusal) => refusal,
            Ok(()) => match path {
                "/v1/brokers" | "/v1/workers" if !reads => AdminReply::not_allowed("GET, HEAD"),
                "/v1/brokers" => AdminReply::new(200, JSON, parts.brokers_json()),
                "/v1/workers" => AdminReply::new(200, JSON, parts.workers_json()),
                "/v1/endpoints" if reads => AdminReply::new(200, JSON, parts.endpoints_json()),
                _ => registry_answer(request, parts).await,
            },
        },
    }
}

async fn registry_answer(request: &AdminRequest, parts: &dyn AdminParts) -> AdminReply {
    let reply = registry_verb(request, parts.registry(), parts.now_unix()).await;
    if reply.is_success() && !matches!(request.method.as_str(), "GET" | "HEAD") {
        parts.registry_changed();
    }
    reply
}

impl AdminReply {
    /// A reply that no cache keeps and no browser takes for something else.
    fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> AdminReply {
        let headers =
            vec![("Cache-Control", "no-store".to_owned()), ("X-Content-Type-Options", "nosniff".to_owned())];
        AdminReply { status, content_type, headers, body: body.into() }
    }

    fn json(status: u16, value: &impl serde::Serialize) -> AdminReply {
        match serde_json::to_vec(value) {
            Ok(body) => AdminReply::new(status, JSON, body),
            Err(error) => AdminReply::error(500, "internal_error", &error.to_string()),
        }
    }

    /// 201, with the path under which the new record can be revoked.
    fn created(path: String, value: &impl serde::Serialize) -> AdminReply {
        let mut reply = AdminReply::json(201, value);
        reply.headers.push(("Location", path));
        reply
    }

    fn error(status: u16, code: &str, detail: &str) -> AdminReply {
        AdminReply::json(status, &serde_json::json!({"code": code, "detail": detail}))
    }

    fn not_allowed(allow: &str) -> AdminReply {
        let mut reply = AdminReply::error(405, "method_not_allowed", &format!("this path takes {allow}"));
        reply.headers.push(("Allow", allow.to_owned()));
        reply
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
