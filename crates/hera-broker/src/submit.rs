//! A call on its way to a worker: its head as the worker reads it, and its body, whole or in chunks.

use crate::call::{Call, Who};
use crate::core::Core;
use crate::dispatch::Unanswered;
use crate::exchange::Exchange;
use crate::http::body::BodyReader;
use crate::http::connection::{Connection, Fault};
use crate::http::request::Incoming;
use crate::mail::{Mail, SessionAddr, ToSession};
use crate::moment::Moment;
use crate::remote::RemoteBody;
use crate::rescue::Refusal;
use crate::worker::roster::Target;
use bytes::{Bytes, BytesMut};
use hera_protocol::frame::put_head;
use hera_protocol::limits::ATTACHMENT_BYTES_MAX;
use hera_protocol::message::call::{CallOut, CallerOut, TraceOut};
use hera_protocol::{Code, message};
use hera_route::table::Params;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

/// A body on its way to a worker, in chunks, beside everything else.
pub type Upload = Pin<Box<dyn Future<Output = (Source, Result<(), Fault>)>>>;

static NO_LABELS: BTreeMap<String, String> = BTreeMap::new();

/// Where the rest of a body comes from.
#[derive(Debug)]
pub enum Source {
    /// A caller's connection.
    Http(BodyReader, Rc<Connection>),
    /// The session of the worker that calls.
    Worker(RemoteBody),
}

impl Source {
    /// Whether no byte is left to come.
    async fn at_end(&mut self) -> Result<bool, Fault> {
        match self {
            Source::Http(reader, connection) => reader.at_end(connection).await,
            Source::Worker(body) => body.at_end().await,
        }
    }

    /// The next piece as it comes, at most `most` bytes; `None` at the end.
    async fn piece(&mut self, most: usize) -> Result<Option<Bytes>, Fault> {
        match self {
            Source::Http(reader, connection) => reader.piece(connection, most, true).await,
            Source::Worker(body) => body.piece(most).await,
        }
    }
}

/// Sends a call to the worker that was picked. Refuses it where its head fits no frame of that worker.
pub fn submit(
    call: &mut Call,
    target: &Target,
    params: &Params,
    id: u64,
    more: bool,
    now: Moment,
) -> Result<(), Unanswered> {
    let (core, body) = (call.core.clone(), call.body.clone());
    let to = core.call_addr(call.exchange.key, call.exchange.begin());
    let session = target.worker.session;
    let head_max = target.worker.limits.head_bytes_max;
    let bytes = body.len();
    let call = &*call;
    let encode = |out: &mut BytesMut| {
        put_head(out, head_max, bytes, |out| {
            write_call(call, target, params, id, more, now, out);
            Ok(())
        })
    };

    let fits = match core.session(session) {
        Some(local) => local.submit(&core, id, to, body, encode),
        None => {
            let mut head = BytesMut::with_capacity(1024);
            let fits = encode(&mut head).is_some();
            if fits {
                core.post(Mail::Session(session, ToSession::Submit { id, call: to, head, attachment: body }));
            }
            fits
        }
    };
    if fits {
        return Ok(());
    }
    let detail = format!("the call's head does not fit a frame of {head_max} bytes");
    Err(Refusal::new(Code::HeadTooLarge, detail).into())
}

fn write_call(
    call: &Call,
    target: &Target,
    params: &Params,
    id: u64,
    more: bool,
    now: Moment,
    out: message::HeadWriter<'_>,
) {
    let incoming = &call.incoming;
    let wanted = target.accepted.declared.headers.as_deref();
    let is_wanted = |name: &[u8]| wanted.is_none_or(|wanted| wanted.iter().any(|w| w.as_bytes() == name));
    let headers = || incoming.headers().filter(|(name, _)| call.passes(name) && is_wanted(name));
    let path_params: SmallVec<[(&str, Cow<'_, str>); 4]> = target
        .accepted
        .names
        .iter()
        .zip(params)
        .map(|(name, place)| {
            let raw = call.path().get(place.start as usize..place.end as usize).unwrap_or_default();
            (name.as_str(), hera_route::path::decode(raw))
        })
        .collect();
    let left = call.deadline.since(now).as_millis() as u64;
    let params = CallOut {
        method: incoming.method(),
        target: incoming.target(),
        path: call.path(),
        query: incoming.query(),
        path_params: &path_params,
        headers: headers(),
        request_id: &call.request_id,
        caller: caller(call),
        trace: trace(incoming),
        timeout_ms: left.max(1),
        chain: match &call.who {
            Who::Service(service) => &service.chain,
            Who::Unknown | Who::Token(_) => &[],
        },
        more,
    };
    params.write(id, &target.accepted.declared.endpoint, out);
}

/// Who calls, as the worker is told.
fn caller(call: &Call) -> CallerOut<'_> {
    match &call.who {
        Who::Unknown => {
            CallerOut::Parts { token: None, labels: &NO_LABELS, ip: &call.caller_ip, service: None }
        }
        Who::Token(caller) => CallerOut::Known { begun: &caller.for_worker, ip: &call.caller_ip },
        Who::Service(service) => CallerOut::Parts {
            token: service.caller.token.as_deref(),
            labels: &service.caller.labels,
            ip: &service.caller.ip,
            service: Some(&service.name),
        },
    }
}

/// W3C trace context, if it is well-formed: `00-<32 hex>-<16 hex>-<2 hex>`, neither id all zeros.
fn trace(incoming: &Incoming) -> Option<TraceOut<'_>> {
    let text = std::str::from_utf8(incoming.header("traceparent")?).ok()?;
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let parts: SmallVec<[&str; 4]> = text.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { return None };
    let fits = version == "00"
        && hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2)
        && trace.bytes().any(|b| b != b'0')
        && span.bytes().any(|b| b != b'0');
    let state = incoming.header("tracestate").and_then(|value| std::str::from_utf8(value).ok());
    fits.then_some(TraceOut { traceparent: text, tracestate: state.filter(|state| state.len() <= 512) })
}

/// Sends the rest of a body in chunks, as the worker grants credit.
pub async fn upload(
    core: Rc<Core>,
    exchange: Rc<Exchange>,
    mut body: Source,
    session: SessionAddr,
    id: u64,
) -> (Source, Result<(), Fault>) {
    loop {
        match body.at_end().await {
            Ok(false) => {}
            Ok(true) => {
                core.post(Mail::Session(session, ToSession::End(id)));
                return (body, Ok(()));
            }
            Err(fault) => return (body, Err(fault)),
        }
        let Some(credit) = poll_fn(|cx| exchange.poll_credit(cx)).await else {
            // The worker wants no more of it.
            return (body, Ok(()));
        };
        let most = usize::try_from(credit).unwrap_or(usize::MAX).min(ATTACHMENT_BYTES_MAX / 4);
        match body.piece(most).await {
            Ok(Some(piece)) => {
                exchange.spend(piece.len() as u64);
                core.post(Mail::Session(session, ToSession::Chunk(id, piece)));
            }
            Ok(None) => {
                core.post(Mail::Session(session, ToSession::End(id)));
                return (body, Ok(()));
            }
            Err(fault) => return (body, Err(fault)),
        }
    }
}
