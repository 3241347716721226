//! Every error code of Hera, once: name, JSON-RPC number, HTTP status, executed, retry-safe.
//!
//! `spec/errors.md` is the same table for people and other languages; a test keeps the two equal.

/// Did a worker start on the call? The value of the `Hera-Executed` header (design rule D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// No handler ran: sending it again is safe.
    No,
    /// A handler may have run.
    Maybe,
}

impl Executed {
    /// The header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Executed::No => "no",
            Executed::Maybe => "maybe",
        }
    }
}

/// May anyone send the call again without asking what it does?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetrySafe {
    /// Yes, later or elsewhere.
    Yes,
    /// No use, or not safe: something has to change first.
    No,
    /// Yes, if running it twice does no harm.
    Idempotent,
}

impl RetrySafe {
    /// The word for it in a problem, where this is known of the call: what never ran may always be sent again, unless it would fail again.
    pub fn of_call(self, executed: Executed) -> &'static str {
        match (self, executed) {
            (RetrySafe::Yes, _) | (RetrySafe::Idempotent, Executed::No) => "yes",
            (RetrySafe::Idempotent, Executed::Maybe) => "idempotent",
            (RetrySafe::No, _) => "no",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $name:literal $number:expr, $status:expr, $executed:ident $retry:ident $meaning:literal;)*) => {
        /// A stable error code; what each means stands in `spec/errors.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of `spec/errors.md`.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name that callers and workers see.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// JSON-RPC error number, where the code occurs on the worker wire.
            pub fn number(self) -> Option<i32> {
                match self { $(Code::$variant => $number,)* }
            }

            /// HTTP status, where the code occurs towards callers.
            pub fn status(self) -> Option<u16> {
                match self { $(Code::$variant => $status,)* }
            }

            /// Whether a worker may have started on the call.
            pub fn executed(self) -> Executed {
                match self { $(Code::$variant => Executed::$executed,)* }
            }

            /// Whether the call may be sent again.
            pub fn retry_safe(self) -> RetrySafe {
                match self { $(Code::$variant => RetrySafe::$retry,)* }
            }

            /// One sentence for people.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    ParseError "parse_error" Some(-32700), None, No No "the head is not JSON";
    InvalidRequest "invalid_request" Some(-32600), None, No No "the head is JSON and no message of this protocol";
    UnknownMethod "unknown_method" Some(-32601), None, No No "no such method here";
    InvalidParams "invalid_params" Some(-32602), None, No No "the params do not fit the method";
    InternalError "internal_error" Some(-32603), Some(500), Maybe Idempotent "a defect of Hera itself; the request id finds it in the log";
    HandlerFailed "handler_failed" Some(-32000), Some(500), Maybe Idempotent "the handler threw or rejected; its text is in the worker's log";
    Busy "busy" Some(-32001), Some(503), No Yes "the worker is at its limit and refused before start";
    Draining "draining" Some(-32002), Some(503), No Yes "the worker is leaving and refused before start";
    PastDeadline "past_deadline" Some(-32003), Some(504), No Yes "the call reached the worker after its deadline and was not started";
    Cancelled "cancelled" Some(-32004), None, Maybe Idempotent "the call was cancelled";
    HandshakeRequired "handshake_required" Some(-32010), None, No No "another message came before the handshake was done";
    UnsupportedVersion "unsupported_version" Some(-32011), None, No No "no protocol version in common";
    Unauthenticated "unauthenticated" Some(-32012), None, No No "unknown or revoked worker key, or a proof that does not verify";
    HandshakeTimeout "handshake_timeout" Some(-32013), None, No Yes "the handshake took longer than 5 s";
    DeclarationRefused "declaration_refused" Some(-32020), None, No No "at least one endpoint of the declaration cannot be served; nothing of it holds";
    BadEndpoint "bad_endpoint" Some(-32021), None, No No "method, pattern or limits of an endpoint cannot be";
    DuplicateEndpoint "duplicate_endpoint" Some(-32022), None, No No "the same method and shape twice in one declaration";
    EndpointForbidden "endpoint_forbidden" Some(-32023), None, No No "the worker key may not serve this endpoint";
    TooManyEndpoints "too_many_endpoints" Some(-32024), None, No No "more endpoints than a worker may declare";
    BadFrame "bad_frame" Some(-32030), None, No No "the lengths of a frame contradict each other";
    FrameTooLarge "frame_too_large" Some(-32031), None, No No "a frame is over its limit";
    CreditExceeded "credit_exceeded" Some(-32032), None, Maybe No "more chunk bytes than were granted";
    BadRequest "bad_request" Some(-32040), Some(400), No No "the request is not strict HTTP/1.1, or has a header that may not be; the detail names what";
    BadPath "bad_path" Some(-32041), Some(400), No No "the path is ambiguous or badly escaped";
    BadTimeout "bad_timeout" None, Some(400), No No "Hera-Timeout is not a number with `ms` or `s`, 1ms to 300s";
    AmbiguousCredentials "ambiguous_credentials" None, Some(400), No No "more than one credential, or one of them twice";
    Unauthorized "unauthorized" None, Some(401), No No "no valid token; the same answer for every path";
    Forbidden "forbidden" Some(-32042), Some(403), No No "the scopes of the token, or of the worker key that calls, do not cover this method and path";
    NotFound "not_found" Some(-32043), Some(404), No No "no endpoint has this path";
    MethodNotAllowed "method_not_allowed" Some(-32044), Some(405), No No "endpoints have this path and none takes this method";
    RequestTimeout "request_timeout" Some(-32045), Some(408), No Yes "the head took over 10 s, or the body stalled for 10 s";
    CallCycle "call_cycle" Some(-32057), Some(508), No No "a remote call within itself: the same method and target is running further up";
    CallTooDeep "call_too_deep" Some(-32058), Some(508), No No "a chain of more than 32 remote calls";
    BodyTooLarge "body_too_large" Some(-32046), Some(413), No No "the body is over the endpoint's limit";
    UriTooLong "uri_too_long" Some(-32047), Some(414), No No "the request target is over 8 KiB";
    RateLimited "rate_limited" Some(-32048), Some(429), No Yes "the token is over its rate or its calls in flight";
    HeadTooLarge "head_too_large" Some(-32049), Some(431), No No "head over 16 KiB or 100 headers, or the call does not fit a frame's head";
    BadReply "bad_reply" Some(-32050), Some(502), Maybe Idempotent "the worker's answer breaks the protocol";
    WorkerLost "worker_lost" Some(-32051), Some(502), Maybe Idempotent "the worker's connection ended while it had the call";
    HttpVersion "http_version" None, Some(505), No No "not HTTP/1.0 or HTTP/1.1";
    NoWorker "no_worker" Some(-32052), Some(503), No Yes "the endpoint is known and no worker of it is connected here";
    WorkersBusy "workers_busy" Some(-32053), Some(503), No Yes "workers are connected and none took the call in 0.5 s";
    Overloaded "overloaded" Some(-32014), Some(503), No Yes "the broker is at one of its own limits";
    RegistryUnavailable "registry_unavailable" Some(-32054), Some(503), No Yes "the registry is out of reach and the token was never seen here";
    DeadlineExceeded "deadline_exceeded" Some(-32055), Some(504), Maybe Idempotent "no answer before the deadline; the worker was told to cancel";
    DrainTimeout "drain_timeout" Some(-32056), Some(502), Maybe Idempotent "the broker was stopping and could not wait any longer";
    NoBroker "no_broker" None, Some(503), Maybe Idempotent "HAProxy found no broker that is ready and has room; `no` where it tries no call twice, and of a remote call without a connected broker";
    BrokerLost "broker_lost" None, Some(502), Maybe Idempotent "the broker went away, or answered no HTTP, while it had the call, or the remote call";
    BrokerTimeout "broker_timeout" None, Some(504), Maybe Idempotent "the broker was silent for longer than HAProxy waits";
}

impl Code {
    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == name)
    }

    /// The code of this JSON-RPC number.
    pub fn from_number(number: i64) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.number().map(i64::from) == Some(number))
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `spec/errors.md` and this registry are one table: a row missing on either side, or a cell that differs, fails here.
    #[test]
    fn registry_equals_the_specification() {
        let text = std::fs::read_to_string("../../spec/errors.md").unwrap();
        let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());

        let written: Vec<String> = text
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| code"))
            .map(str::to_owned)
            .collect();
        let coded: Vec<String> = Code::ALL
            .iter()
            .map(|code| {
                let retry = match code.retry_safe() {
                    RetrySafe::Yes => "yes",
                    RetrySafe::No => "no",
                    RetrySafe::Idempotent => "idempotent",
                };
                format!(
                    "| {code} | {} | {} | {} | {retry} | {} |",
                    cell(code.number().map(|n| n.to_string())),
                    cell(code.status().map(|s| s.to_string())),
                    code.executed().as_str(),
                    code.meaning(),
                )
            })
            .collect();

        assert_eq!(written, coded);
    }

    #[test]
    fn numbers_are_unique() {
        let mut numbers: Vec<i32> = Code::ALL.iter().filter_map(|code| code.number()).collect();
        let all = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), all);
    }
}
