//! The answer to a call that this worker made.

use crate::body::Body;
use crate::error::{BodyError, CallError};
use bytes::Bytes;
use hera_protocol::message::remote::{AnswerIn, Meta};
use hera_protocol::{Code, Executed};
use std::time::Duration;

/// Bytes that [`Reply::body`] gathers, unless the call was given another limit.
pub(crate) const BODY_BYTES_MAX: u64 = 16 << 20;

/// What a worker answered, whatever the status.
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    meta: Meta,
    body: Body,
    body_bytes_max: u64,
    gathered: Option<Bytes>,
}

impl Reply {
    pub(crate) fn new(answer: AnswerIn, body: Body, body_bytes_max: u64) -> Reply {
        let AnswerIn { status, headers, meta, .. } = answer;
        Reply { status, headers, meta, body, body_bytes_max, gathered: None }
    }

    /// 200 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.status / 100 == 2
    }

    /// The first value of a header; the name's case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers in order, names in lower case; values are Latin-1, one `char` for each byte.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Who answered: `service/version/instance`.
    pub fn worker(&self) -> &str {
        &self.meta.worker
    }

    /// How often the broker sent the call to a worker.
    pub fn attempts(&self) -> u32 {
        self.meta.attempts
    }

    /// How long the worker took, as the broker measured it.
    pub fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.meta.took_ms.worker / 1000.0).unwrap_or_default()
    }

    /// The whole body, at most 16 MiB or what [`crate::RemoteCall::reply_bytes_max`] says.
    /// Asking again gives it again.
    pub async fn body(&mut self) -> Result<Bytes, CallError> {
        if let Some(bytes) = &self.gathered {
            return Ok(bytes.clone());
        }
        let bytes = self.body.gather(self.body_bytes_max).await.map_err(broken)?;
        self.gathered = Some(bytes.clone());
        Ok(bytes)
    }

    /// The whole body read as JSON, within the same limit.
    pub async fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, CallError> {
        let bytes = self.body().await?;
        serde_json::from_slice(&bytes).map_err(|error| broken(BodyError::Json(error.to_string())))
    }

    /// The body as a stream. Dropping it before its end tells the worker that answers to stop.
    pub fn into_body(self) -> Body {
        match self.gathered {
            Some(bytes) => Body::from(bytes),
            None => self.body,
        }
    }
}

/// An answer that cannot be used as a whole is a call that failed: the worker surely ran.
fn broken(error: BodyError) -> CallError {
    let code = match error {
        BodyError::Lost => Code::BrokerLost,
        BodyError::Cut(_) => Code::WorkerLost,
        BodyError::Cancelled => Code::Cancelled,
        _ => Code::BadReply,
    };
    CallError::new(code, Executed::Maybe, format!("the answer's body: {error}"))
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({} from {})", self.status, self.meta.worker)
    }
}
