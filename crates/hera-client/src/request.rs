//! A call as its handler sees it.

use crate::body::Body;
use crate::cancel::Cancel;
use crate::error::BodyError;
use crate::query;
use crate::remote_call::{RemoteCall, Within};
use crate::worker::Worker;
use bytes::Bytes;
use hera_protocol::message::given::GivenCall;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One request, with everything the broker knows of it.
///
/// Text is what the caller sent after the broker's strict reading: the path is canonical, path parameters are decoded once, header names are in
/// lower case, header values are Latin-1 (one `char` for each byte).
///
/// When the caller leaves, the deadline passes, or the broker is lost, the handler's future is dropped where it waits: dropping is
/// cancelling. Work that was moved to other tasks can watch [`Request::cancelled`].
pub struct Request {
    call: Arc<GivenCall>,
    body: Body,
    gathered: Option<Bytes>,
    body_bytes_max: u64,
    deadline: Instant,
    cancel: Arc<Cancel>,
    worker: Arc<Worker>,
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a>(&'a GivenCall);

impl<'a> Caller<'a> {
    /// Name of the token, `None` for an anonymous caller.
    pub fn token(&self) -> Option<&'a str> {
        self.0.token()
    }

    /// Value of a label of the token.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.0.labels().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// All labels of the token, by name.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.0.labels()
    }

    /// Address of the caller.
    pub fn ip(&self) -> &'a str {
        self.0.ip()
    }

    /// The calling service, when another worker calls.
    pub fn service(&self) -> Option<&'a str> {
        self.0.service()
    }
}

/// W3C trace context of a call.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'a> {
    parent: &'a str,
    state: Option<&'a str>,
}

impl<'a> Trace<'a> {
    /// `traceparent`.
    pub fn traceparent(&self) -> &'a str {
        self.parent
    }

    /// `tracestate`, when there is one.
    pub fn tracestate(&self) -> Option<&'a str> {
        self.state
    }
}

impl Request {
    pub(crate) fn new(
        call: Arc<GivenCall>,
        body: Body,
        body_bytes_max: u64,
        deadline: Instant,
        cancel: Arc<Cancel>,
        worker: Arc<Worker>,
    ) -> Request {
        Request { call, body, gathered: None, body_bytes_max, deadline, cancel, worker }
    }

    /// The HTTP method; `HEAD` comes to the endpoints of `GET`.
    pub fn method(&self) -> &str {
        self.call.method()
    }

    /// The canonical path, still percent-encoded.
    pub fn path(&self) -> &str {
        self.call.path()
    }

    /// The request target as the caller sent it.
    pub fn target(&self) -> &str {
        self.call.target()
    }

    /// The raw query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.call.query()
    }

    /// All pairs of the query in order, decoded as HTML forms are.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        query::pairs(self.query().unwrap_or_default())
    }

    /// The first value of a query parameter, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        self.query_pairs().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// A path parameter by its name in the pattern, decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.call.path_param(name)
    }

    /// The first value of a header; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next()
    }

    /// All values of a header in order.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers in order, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.call.headers()
    }

    /// The request id, which is in every log on the way.
    pub fn id(&self) -> &str {
        self.call.request_id()
    }

    /// Who calls.
    pub fn caller(&self) -> Caller<'_> {
        Caller(&self.call)
    }

    /// Trace context, when the caller or the broker began one.
    pub fn trace(&self) -> Option<Trace<'_>> {
        self.call.traceparent().map(|parent| Trace { parent, state: self.call.tracestate() })
    }

    /// When the caller will have gone.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Time until then, zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Resolves when the call is cancelled, never when it is answered.
    ///
    /// The handler itself is dropped then and needs no watching; this is for tasks that the handler spawned.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + use<> {
        let cancel = Arc::clone(&self.cancel);
        async move { cancel.cancelled().await }
    }

    /// Begins a call to another service: `req.call("GET /0/users/42").await?`.
    ///
    /// The request id, the trace, the caller and its labels go along, and the time that is left; when this call is cancelled, so is that one. The
    /// worker key needs a `--call` scope that covers it.
    pub fn call(&self, endpoint: &str) -> RemoteCall {
        let within = Within::new(&self.call, self.deadline);
        RemoteCall::new(Arc::clone(&self.worker), Some(within), endpoint)
    }

    /// The whole body, at most what the endpoint declared (`body_bytes_max`); asking again gives it again.
    ///
    /// [`BodyError::TooLarge`], passed on with `?`, is answered 413.
    pub async fn body(&mut self) -> Result<Bytes, BodyError> {
        if let Some(bytes) = &self.gathered {
            return Ok(bytes.clone());
        }
        let bytes = self.body.gather(self.body_bytes_max).await?;
        self.gathered = Some(bytes.clone());
        Ok(bytes)
    }

    /// The whole body read as JSON. [`BodyError::Json`], passed on with `?`, is answered 400.
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, BodyError> {
        let bytes = self.body().await?;
        serde_json::from_slice(&bytes).map_err(|error| BodyError::Json(error.to_string()))
    }

    /// The body as a stream; for those that should not be in memory at once.
    pub fn into_body(self) -> Body {
        match self.gathered {
            Some(bytes) => Body::from(bytes),
            None => self.body,
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers and query may hold what a log must not.
        write!(f, "Request({} {} {})", self.call.request_id(), self.call.method(), self.call.path())
    }
}
