//! `error` of a response (P-13, P-35).

use super::HeadWriter;
use crate::error::Code;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// One endpoint of a declaration that cannot be served (P-30).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEndpoint {
    /// As it was declared, shortened to 200 bytes.
    pub endpoint: String,
    /// `bad_endpoint`, `duplicate_endpoint`, `endpoint_forbidden` or `too_many_endpoints`.
    pub code: String,
    /// What to do about it.
    pub message: String,
}

/// An error object as it was received.
#[derive(Debug, Deserialize)]
pub struct Failure<'a> {
    code: i64,
    /// For people.
    #[serde(borrow, default)]
    pub message: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<FailureData<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct FailureData<'a> {
    #[serde(borrow, default)]
    code: Option<Cow<'a, str>>,
    #[serde(default)]
    endpoints: Vec<RefusedEndpoint>,
}

impl Failure<'_> {
    /// The stable code: `data.code`, else the number's; `None` when neither is known here.
    pub fn code(&self) -> Option<Code> {
        let named = self.data.as_ref().and_then(|data| data.code.as_deref());
        named.map_or_else(|| Code::from_number(self.code), Code::from_name)
    }

    /// The endpoints that a `declaration_refused` names.
    pub fn into_endpoints(self) -> Vec<RefusedEndpoint> {
        self.data.map(|data| data.endpoints).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct ErrorOut<'a, D> {
    jsonrpc: &'static str,
    id: Option<u64>,
    error: ErrorObject<'a, D>,
}

#[derive(Serialize)]
struct ErrorObject<'a, D> {
    code: i32,
    message: &'a str,
    data: D,
}

#[derive(Serialize)]
struct ErrorData<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    endpoints: &'a [RefusedEndpoint],
}

/// Writes the head of an error response; `id` is `None` for a fault that belongs to no request (P-12).
///
/// Codes that do not occur on the wire are written as `internal_error`.
pub fn write(
    out: HeadWriter<'_>,
    id: Option<u64>,
    code: Code,
    message: &str,
    endpoints: &[RefusedEndpoint],
) -> serde_json::Result<()> {
    let code = if code.number().is_some() { code } else { Code::InternalError };
    write_data(out, id, code, message, ErrorData { code: code.as_str(), endpoints })
}

/// Writes the head of an error response with `data` of its own.
pub(super) fn write_data<D: Serialize>(
    out: HeadWriter<'_>,
    id: Option<u64>,
    code: Code,
    message: &str,
    data: D,
) -> serde_json::Result<()> {
    let error = ErrorObject { code: code.number().unwrap_or(-32603), message, data };
    serde_json::to_writer(out, &ErrorOut { jsonrpc: "2.0", id, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_goes_before_number_and_a_plain_library_is_understood() {
        let named: Failure<'_> =
            serde_json::from_str(r#"{"code":-32000,"message":"m","data":{"code":"busy"}}"#).unwrap();
        assert_eq!(named.code(), Some(Code::Busy));
        let plain: Failure<'_> = serde_json::from_str(r#"{"code":-32601,"message":"m"}"#).unwrap();
        assert_eq!(plain.code(), Some(Code::UnknownMethod));
        let foreign: Failure<'_> = serde_json::from_str(r#"{"code":5,"message":"m"}"#).unwrap();
        assert_eq!(foreign.code(), None);
    }
}
