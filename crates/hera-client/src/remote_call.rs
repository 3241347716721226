//! A call to another service, as it is described; [`crate::sending`] brings it on its way.

use crate::body::BodySender;
use crate::compose::BoxFuture;
use crate::error::{BoxError, CallError};
use crate::outgoing::Outgoing;
use crate::query;
use crate::reply::{BODY_BYTES_MAX, Reply};
use crate::worker::Worker;
use bytes::Bytes;
use hera_protocol::message::call::{CallerIn, TraceIn};
use hera_protocol::message::given::GivenCall;
use hera_protocol::message::remote;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is known of the call within which another is made, and goes along.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    pub(crate) request_id: String,
    pub(crate) caller: CallerIn,
    pub(crate) trace: Option<TraceIn>,
    pub(crate) chain: Vec<String>,
    pub(crate) deadline: Instant,
}

impl Within {
    pub(crate) fn new(call: &GivenCall, deadline: Instant) -> Within {
        let owned = |text: &str| text.to_owned();
        let own = remote::name(call.method(), call.path(), call.query());
        Within {
            request_id: call.request_id().to_owned(),
            caller: CallerIn {
                token: call.token().map(owned),
                labels: call.labels().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                ip: call.ip().to_owned(),
                service: call.service().map(owned),
            },
            trace: call.traceparent().map(|parent| TraceIn {
                traceparent: parent.to_owned(),
                tracestate: call.tracestate().map(owned),
            }),
            chain: call.chain().map(owned).chain([own]).collect(),
            deadline,
        }
    }
}

/// Makes calls to other services, from anywhere; cheap to clone. From [`crate::Client::bus`].
#[derive(Clone)]
pub struct Bus {
    worker: Arc<Worker>,
}

impl Bus {
    pub(crate) fn new(worker: Arc<Worker>) -> Bus {
        Bus { worker }
    }

    /// Begins a call: `bus.call("GET /0/users/42").await?`.
    pub fn call(&self, endpoint: &str) -> RemoteCall {
        RemoteCall::new(Arc::clone(&self.worker), None, endpoint)
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bus")
    }
}

/// A call that is being described; awaiting it sends it.
///
/// Gives a [`Reply`] for whatever status a worker answers, and a [`CallError`] where none did. Dropping the future cancels the call.
#[must_use = "a call is sent when it is awaited"]
pub struct RemoteCall {
    asked: Asked,
    body: Payload,
}

/// All of a call but its body.
pub(crate) struct Asked {
    pub(crate) worker: Arc<Worker>,
    pub(crate) within: Option<Within>,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) reply_bytes_max: u64,
    pub(crate) fault: Option<String>,
}

/// The body of a call.
pub(crate) enum Payload {
    /// All of it; what does not fit one frame goes in chunks.
    Whole(Bytes),
    /// Sent while it is made.
    Stream(Arc<Outgoing>, BoxFuture<Result<(), BoxError>>),
}

impl RemoteCall {
    pub(crate) fn new(worker: Arc<Worker>, within: Option<Within>, endpoint: &str) -> RemoteCall {
        let (method, target) = endpoint.split_once(' ').unwrap_or_default();
        let fits = !method.is_empty() && target.starts_with('/') && !target.contains('#');
        let fault = (!fits).then(|| format!("{endpoint:?} is not a method, a space and a path"));
        let asked = Asked {
            worker,
            within,
            method: method.to_owned(),
            target: query::escape(target),
            headers: Vec::new(),
            timeout: None,
            reply_bytes_max: BODY_BYTES_MAX,
            fault,
        };
        RemoteCall { asked, body: Payload::Whole(Bytes::new()) }
    }

    /// Adds parameters to the query, in order.
    pub fn query<K: AsRef<str>, V: AsRef<str>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        for (name, value) in pairs {
            self.asked.target.push(if self.asked.target.contains('?') { '&' } else { '?' });
            self.asked.target.push_str(&query::encode(name.as_ref()));
            self.asked.target.push('=');
            self.asked.target.push_str(&query::encode(value.as_ref()));
        }
        self
    }

    /// Adds a header. Those of one connection and of the bus itself (`host`, `content-length`, `connection`, `x-request-id`, `hera-*`, …) are left
    /// out, so that the headers of a request can be passed on as they are.
    pub fn header(mut self, name: impl AsRef<str>, value: impl Into<Cow<'static, str>>) -> Self {
        let (name, value) = (name.as_ref().to_ascii_lowercase(), value.into());
        if !remote::is_not_the_workers(&name, &value) {
            self.asked.headers.push((name.into(), value));
        }
        self
    }

    /// Sends these bytes as the body. They are sent again where the call may be.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Payload::Whole(body.into());
        self
    }

    /// Sends JSON as the body.
    pub fn json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(json) => {
                self.body = Payload::Whole(json.into());
                if !self.asked.headers.iter().any(|(name, _)| name == "content-type") {
                    self.asked.headers.push(("content-type".into(), "application/json".into()));
                }
            }
            Err(error) => self.asked.fault = Some(format!("body is no JSON: {error}")),
        }
        self
    }

    /// Sends a body that `maker` sends piece by piece, under the credit of the worker that reads it. `Ok` ends it; an error cuts it short. Such a call
    /// is never sent a second time.
    pub fn stream<F, Fut>(mut self, maker: F) -> Self
    where
        F: FnOnce(BodySender) -> Fut,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let outgoing = Arc::new(Outgoing::default());
        let maker = Box::pin(maker(BodySender::guided(Arc::clone(&outgoing))));
        self.body = Payload::Stream(outgoing, maker);
        self
    }

    /// Shortens the time that the call may take, 1 ms to 300 s: the endpoint's timeout, and what is left of the call within which this one is made,
    /// hold too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.asked.timeout = Some(timeout);
        self
    }

    /// Bytes that [`Reply::body`] and [`Reply::json`] gather. Default: 16 MiB.
    pub fn reply_bytes_max(mut self, bytes: u64) -> Self {
        self.asked.reply_bytes_max = bytes;
        self
    }
}

impl IntoFuture for RemoteCall {
    type Output = Result<Reply, CallError>;
    type IntoFuture = BoxFuture<Result<Reply, CallError>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.asked.send(self.body))
    }
}

impl std::fmt::Debug for RemoteCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Query and headers may hold what a log must not.
        let path = self.asked.target.split('?').next().unwrap_or_default();
        write!(f, "RemoteCall({} {path})", self.asked.method)
    }
}
