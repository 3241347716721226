//! An answer, and what can become one.

use crate::body::BodySender;
use crate::compose::BoxFuture;
use crate::error::{BodyError, BoxError, Outcome};
use crate::outgoing::Outgoing;
use bytes::Bytes;
use hera_protocol::limits::{REPLY_HEADER_BYTES_MAX, REPLY_HEADERS_MAX};
use hera_protocol::message::reply::{is_field_value, is_token_byte};
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;

/// Header pairs as they stand in a reply.
pub(crate) type Headers = Vec<(Cow<'static, str>, Cow<'static, str>)>;

/// An answer: status, headers, body.
///
/// Nothing here fails at once; a header or status that cannot be sent is logged when the answer goes out, and the call fails as `handler_failed`.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Headers,
    body: Payload,
    fault: Option<String>,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Payload {
    /// All of it; what does not fit one frame goes in chunks.
    Whole(Bytes),
    /// Sent while it is made.
    Stream(Streamed),
}

/// A body that is sent while it is made.
pub(crate) struct Streamed {
    /// Where the sender puts it.
    pub(crate) outgoing: Arc<Outgoing>,
    /// What makes it; `None` when somebody else holds the sender.
    pub(crate) maker: Option<BoxFuture<Result<(), BoxError>>>,
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // An answer that a layer threw away: its sender would wait for ever.
        if !self.outgoing.is_attached() {
            self.outgoing.close(BodyError::Unwanted("the answer was not sent".into()));
        }
    }
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Streamed")
    }
}

impl Response {
    /// An answer without a body; 200 to 599 but 425.
    pub fn new(status: u16) -> Response {
        Response { status, headers: Headers::new(), body: Payload::Whole(Bytes::new()), fault: None }
    }

    /// 200 with JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Response {
        match serde_json::to_vec(value) {
            Ok(body) => Response::whole(body, "application/json"),
            Err(error) => {
                Response { fault: Some(format!("answer is no JSON: {error}")), ..Response::new(500) }
            }
        }
    }

    /// 200 with text.
    pub fn text(text: impl Into<String>) -> Response {
        Response::whole(text.into(), "text/plain; charset=utf-8")
    }

    /// 200 with bytes, any number: what does not fit one frame is sent in chunks.
    pub fn bytes(bytes: impl Into<Bytes>) -> Response {
        Response::whole(bytes, "application/octet-stream")
    }

    /// 204 without a body.
    pub fn empty() -> Response {
        Response::new(204)
    }

    fn whole(body: impl Into<Bytes>, content_type: &'static str) -> Response {
        let headers = vec![("content-type".into(), content_type.into())];
        Response { headers, body: Payload::Whole(body.into()), ..Response::new(200) }
    }

    /// 200 with a body that `maker` sends piece by piece. `Ok` ends it; an error cuts it short, and so the caller sees an error.
    ///
    /// A `content-length` may be set, and is held to then.
    ///
    /// ```
    /// # use hera_client::Response;
    /// Response::stream(|tx| async move {
    ///     for n in 0..3 {
    ///         tx.send(format!("{n}\n")).await?;
    ///     }
    ///     Ok(())
    /// });
    /// ```
    pub fn stream<F, Fut>(maker: F) -> Response
    where
        F: FnOnce(BodySender) -> Fut,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let outgoing = Arc::new(Outgoing::default());
        let maker: BoxFuture<Result<(), BoxError>> =
            Box::pin(maker(BodySender::guided(Arc::clone(&outgoing))));
        let body = Payload::Stream(Streamed { outgoing, maker: Some(maker) });
        Response { body, ..Response::new(200) }
    }

    /// 200 with a body that somebody else sends; the sender works once the answer was returned from the handler.
    ///
    /// [`BodySender::end`] ends the body, dropping the sender cuts it short.
    pub fn channel() -> (BodySender, Response) {
        let outgoing = Arc::new(Outgoing::default());
        let sender = BodySender::alone(Arc::clone(&outgoing));
        let body = Payload::Stream(Streamed { outgoing, maker: None });
        (sender, Response { body, ..Response::new(200) })
    }

    /// Sets the status.
    pub fn with_status(mut self, status: u16) -> Response {
        self.status = status;
        self
    }

    /// Sets a header in place of all of that name. Values are text of code points up to U+00FF, without control bytes.
    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Response {
        let name = name.into();
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a header beside others of that name, such as `set-cookie`.
    pub fn add_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Response {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Takes the answer apart when it is one that may be sent (P-34), else says why not.
    pub(crate) fn into_parts(self) -> Result<(u16, Headers, Payload), String> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !(200..=599).contains(&self.status) || self.status == 425 {
            return Err(format!("status {} is not one that a worker may answer", self.status));
        }
        if self.headers.len() > REPLY_HEADERS_MAX {
            return Err(format!("{} headers exceed the limit of {REPLY_HEADERS_MAX}", self.headers.len()));
        }
        let bytes: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > REPLY_HEADER_BYTES_MAX {
            return Err(format!("headers of {bytes} bytes exceed the limit of {REPLY_HEADER_BYTES_MAX}"));
        }
        for (name, value) in &self.headers {
            if name.is_empty() || !name.bytes().all(is_token_byte) {
                return Err(format!("header name {name:?} is not a token"));
            }
            if !is_field_value(value) {
                return Err(format!("value of header {name} has a control byte or a code point over U+00FF"));
            }
        }
        Ok((self.status, self.headers, self.body))
    }
}

/// What a handler or a layer may return.
pub trait IntoResponse {
    /// The answer, or the error that takes its place: a [`crate::Problem`] is answered as such, any other as `handler_failed`.
    fn into_response(self) -> Outcome;
}

/// A value to answer as JSON, with status 200.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl IntoResponse for Response {
    fn into_response(self) -> Outcome {
        Ok(self)
    }
}

impl<T: IntoResponse, E: Into<BoxError>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Outcome {
        self.map_err(Into::into)?.into_response()
    }
}

impl IntoResponse for &str {
    fn into_response(self) -> Outcome {
        Ok(Response::text(self))
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Outcome {
        Ok(Response::text(self))
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Outcome {
        Ok(Response::bytes(self))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Outcome {
        Ok(Response::json(&self.0))
    }
}

impl<T: IntoResponse> IntoResponse for (u16, T) {
    fn into_response(self) -> Outcome {
        Ok(self.1.into_response()?.with_status(self.0))
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Outcome {
        Ok(Response::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_may_not_be_sent_say_why() {
        let many =
            (0..101).fold(Response::new(200), |response, n| response.add_header(format!("x-{n}"), "1"));
        let large = Response::new(200).header("x", "y".repeat(65_536));
        let cases = [
            Response::new(199),
            Response::new(600),
            Response::new(425),
            Response::new(200).header("a b", "1"),
            Response::new(200).header("", "1"),
            Response::new(200).header("a", "1\r\nb: 2"),
            Response::new(200).header("a", "\u{100}"),
            many,
            large,
        ];

        for response in cases {
            assert!(response.into_parts().is_err());
        }
    }

    #[test]
    fn latin1_values_and_all_kinds_of_returns_are_answers() {
        let answers: [Outcome; 7] = [
            Response::new(200).header("a", "caf\u{e9}\t").into_response(),
            "text".into_response(),
            (201, Json(5)).into_response(),
            ().into_response(),
            Ok::<_, std::fmt::Error>("fine").into_response(),
            String::from("text").into_response(),
            Bytes::from_static(b"x").into_response(),
        ];

        let statuses: Vec<u16> =
            answers.into_iter().map(|answer| answer.unwrap().into_parts().unwrap().0).collect();
        assert_eq!(statuses, [200, 200, 201, 204, 200, 200, 200]);
    }

    #[test]
    fn header_replaces_and_add_header_adds() {
        let response =
            Response::json(&1).header("Content-Type", "text/x").add_header("a", "1").add_header("a", "2");

        let headers: Vec<(&str, &str)> = response.headers().collect();
        assert_eq!(headers, [("Content-Type", "text/x"), ("a", "1"), ("a", "2")]);
    }
}
