//! A call as a worker has it (P-32): one text, and where its parts stand in it.
//!
//! A call has some twenty texts. As strings of their own they would cost a worker more than all else that it does for a call.

use super::call::{CallIn, CallerIn, TraceIn};
use super::quick::Rest;
use crate::id::ID_MAX;
use smallvec::SmallVec;
use std::ops::Range;

/// Headers, and members of objects, that need no room of their own.
const USUAL: usize = 8;

type Part = Range<u32>;
type Pairs<const N: usize> = SmallVec<[(Part, Part); N]>;

/// A call that a worker was given.
#[derive(Clone, Debug)]
pub struct GivenCall {
    text: Box<str>,
    method: Part,
    target: Part,
    path: Part,
    query: Option<Part>,
    path_params: Pairs<2>,
    headers: Pairs<USUAL>,
    request_id: Part,
    token: Option<Part>,
    labels: Pairs<2>,
    ip: Part,
    service: Option<Part>,
    traceparent: Option<Part>,
    tracestate: Option<Part>,
    timeout_ms: u64,
    chain: SmallVec<[Part; 1]>,
    more: bool,
}

impl GivenCall {
    /// HTTP method.
    pub fn method(&self) -> &str {
        self.part(&self.method)
    }

    /// Raw request target.
    pub fn target(&self) -> &str {
        self.part(&self.target)
    }

    /// Canonical path.
    pub fn path(&self) -> &str {
        self.part(&self.path)
    }

    /// Raw query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.optional(&self.query)
    }

    /// A path parameter by its declared name, decoded once.
    pub fn path_param(&self, name: &str) -> Option<&str> {
        self.pairs(&self.path_params).find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Headers in order, names in lower case, values as Latin-1 code points.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs(&self.headers)
    }

    /// `[A-Za-z0-9._-]{1,128}`.
    pub fn request_id(&self) -> &str {
        self.part(&self.request_id)
    }

    /// Name of the token; `None` is anonymous.
    pub fn token(&self) -> Option<&str> {
        self.optional(&self.token)
    }

    /// Labels of the token, by name.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs(&self.labels)
    }

    /// Address of the caller.
    pub fn ip(&self) -> &str {
        self.part(&self.ip)
    }

    /// The calling service, for a remote call.
    pub fn service(&self) -> Option<&str> {
        self.optional(&self.service)
    }

    /// W3C `traceparent`.
    pub fn traceparent(&self) -> Option<&str> {
        self.optional(&self.traceparent)
    }

    /// W3C `tracestate`.
    pub fn tracestate(&self) -> Option<&str> {
        self.optional(&self.tracestate)
    }

    /// Remaining time, counted from arrival.
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    /// Names of the calls within which a remote call is made, oldest first (P-53).
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        self.chain.iter().map(|part| self.part(part))
    }

    /// Chunks follow.
    pub fn more(&self) -> bool {
        self.more
    }

    fn part(&self, part: &Part) -> &str {
        // Every part is a whole text of its own, so the place is always there.
        self.text.get(part.start as usize..part.end as usize).unwrap_or_default()
    }

    fn optional(&self, part: &Option<Part>) -> Option<&str> {
        part.as_ref().map(|part| self.part(part))
    }

    fn pairs<'a>(&'a self, pairs: &'a [(Part, Part)]) -> impl Iterator<Item = (&'a str, &'a str)> {
        pairs.iter().map(|(name, value)| (self.part(name), self.part(value)))
    }
}

impl From<CallIn> for GivenCall {
    fn from(call: CallIn) -> GivenCall {
        let mut text = String::new();
        let mut add = |part: String| {
            let start = text.len() as u32;
            text.push_str(&part);
            start..text.len() as u32
        };
        let CallerIn { token, labels, ip, service } = call.caller;
        let (traceparent, tracestate) = match call.trace {
            Some(TraceIn { traceparent, tracestate }) => (Some(traceparent), tracestate),
            None => (None, None),
        };
        GivenCall {
            method: add(call.method),
            target: add(call.target),
            path: add(call.path),
            query: call.query.map(&mut add),
            path_params: call.path_params.into_iter().map(|(name, value)| (add(name), add(value))).collect(),
            headers: call.headers.into_iter().map(|(name, value)| (add(name), add(value))).collect(),
            request_id: add(call.request_id),
            token: token.map(&mut add),
            labels: labels.into_iter().map(|(name, value)| (add(name), add(value))).collect(),
            ip: add(ip),
            service: service.map(&mut add),
            traceparent: traceparent.map(&mut add),
            tracestate: tracestate.map(&mut add),
            timeout_ms: call.timeout_ms,
            chain: call.chain.into_iter().map(&mut add).collect(),
            more: call.more,
            text: text.into_boxed_str(),
        }
    }
}

/// Reads a call, id and endpoint too, in the form in which brokers write it ([`super::call::CallOut`]) where nothing in it needs an escape.
///
/// `None` judges nothing: the head then goes to [`super::read`] and [`CallIn`]. A property test holds the two together.
pub fn quick(head: &[u8]) -> Option<(u64, &str, GivenCall)> {
    let text = std::str::from_utf8(head).ok()?;
    let mut reading = Reading { text, rest: Rest(head) };
    reading.literal(b"{\"jsonrpc\":\"2.0\",\"id\":")?;
    let id = reading.rest.number().filter(|id| *id <= ID_MAX)?;
    let endpoint = reading.after(b",\"method\":")?;
    let endpoint = reading.at(&endpoint);
    // Without a space it would be a control method (P-9).
    if !endpoint.contains(' ') {
        return None;
    }
    Some((id, endpoint, reading.call()?))
}

/// A head that is being read.
struct Reading<'a> {
    text: &'a str,
    rest: Rest<'a>,
}

impl<'a> Reading<'a> {
    fn at(&self, part: &Part) -> &'a str {
        self.text.get(part.start as usize..part.end as usize).unwrap_or_default()
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.rest.literal(text)
    }

    fn text(&mut self) -> Option<Part> {
        let text = self.rest.text(|byte| byte >= 0x20)?;
        let start = text.as_ptr() as usize - self.text.as_ptr() as usize;
        Some(start as u32..(start + text.len()) as u32)
    }

    /// A member whose value is a text.
    fn after(&mut self, member: &[u8]) -> Option<Part> {
        self.literal(member)?;
        self.text()
    }

    /// A text, if the member is there.
    fn maybe(&mut self, member: &[u8]) -> Option<Option<Part>> {
        match self.literal(member) {
            Some(()) => self.text().map(Some),
            None => Some(None),
        }
    }

    /// A text or `null`.
    fn or_null(&mut self, member: &[u8]) -> Option<Option<Part>> {
        self.literal(member)?;
        match self.literal(b"null") {
            Some(()) => Some(None),
            None => self.text().map(Some),
        }
    }

    /// Members of an object, all of them texts; a name that stands twice is left to the other reader.
    fn object<const N: usize>(&mut self, member: &[u8]) -> Option<Pairs<N>>
    where
        [(Part, Part); N]: smallvec::Array<Item = (Part, Part)>,
    {
        self.literal(member)?;
        self.literal(b"{")?;
        let mut pairs = Pairs::<N>::new();
        if self.literal(b"}").is_some() {
            return Some(pairs);
        }
        loop {
            let name = self.text()?;
            let value = self.after(b":")?;
            if pairs.len() == USUAL || pairs.iter().any(|(other, _)| self.at(other) == self.at(&name)) {
                return None;
            }
            pairs.push((name, value));
            if self.literal(b",").is_none() {
                self.literal(b"}")?;
                return Some(pairs);
            }
        }
    }

    fn headers(&mut self) -> Option<Pairs<USUAL>> {
        self.literal(b",\"headers\":[")?;
        let mut pairs = Pairs::new();
        if self.literal(b"]").is_some() {
            return Some(pairs);
        }
        loop {
            let name = self.after(b"[")?;
            let value = self.after(b",")?;
            pairs.push((name, value));
            self.literal(b"]")?;
            if self.literal(b",").is_none() {
                self.literal(b"]")?;
                return Some(pairs);
            }
        }
    }

    fn chain(&mut self) -> Option<SmallVec<[Part; 1]>> {
        let mut chain = SmallVec::new();
        if self.literal(b",\"chain\":[").is_none() {
            return Some(chain);
        }
        loop {
            chain.push(self.text()?);
            if self.literal(b",").is_none() {
                self.literal(b"]")?;
                return Some(chain);
            }
        }
    }

    fn call(mut self) -> Option<GivenCall> {
        let method = self.after(b",\"params\":{\"method\":")?;
        let target = self.after(b",\"target\":")?;
        let path = self.after(b",\"path\":")?;
        let query = self.or_null(b",\"query\":")?;
        let path_params = self.object(b",\"path_params\":")?;
        let headers = self.headers()?;
        let request_id = self.after(b",\"request_id\":")?;
        let token = self.or_null(b",\"caller\":{\"token\":")?;
        let labels = self.object(b",\"labels\":")?;
        let ip = self.after(b",\"ip\":")?;
        let service = self.maybe(b",\"service\":")?;
        self.literal(b"}")?;
        let traceparent = self.maybe(b",\"trace\":{\"traceparent\":")?;
        let tracestate = match traceparent {
            Some(_) => {
                let tracestate = self.maybe(b",\"tracestate\":")?;
                self.literal(b"}")?;
                tracestate
            }
            None => None,
        };
        self.literal(b",\"timeout_ms\":")?;
        let timeout_ms = self.rest.number()?;
        let chain = self.chain()?;
        let more = self.literal(b",\"more\":true").is_some();
        self.literal(b"}}")?;
        self.rest.0.is_empty().then(|| GivenCall {
            text: self.text.into(),
            method,
            target,
            path,
            query,
            path_params,
            headers,
            request_id,
            token,
            labels,
            ip,
            service,
            traceparent,
            tracestate,
            timeout_ms,
            chain,
            more,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::call::{CallOut, CallerOut, TraceOut};
    use crate::message::{self, Message};
    use proptest::prelude::*;
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    /// All that a call says, as one text.
    fn said(call: &GivenCall) -> String {
        let mut params: Vec<_> = call.pairs(&call.path_params).collect();
        let mut labels: Vec<_> = call.labels().collect();
        params.sort_unstable();
        labels.sort_unstable();
        let headers: Vec<_> = call.headers().collect();
        let chain: Vec<_> = call.chain().collect();
        let caller = (call.token(), labels, call.ip(), call.service());
        let trace = (call.traceparent(), call.tracestate());
        let line = (call.method(), call.target(), call.path(), call.query(), params, headers);
        format!(
            "{line:?} {:?} {caller:?} {trace:?} {chain:?} {} {}",
            call.request_id(),
            call.timeout_ms,
            call.more
        )
    }

    /// What the general readers make of a head.
    fn general(head: &[u8]) -> Option<(u64, String, GivenCall)> {
        let Ok(Message::Request { id, method, params }) = message::read(head) else { return None };
        Some((id, method.into_owned(), message::fit::<CallIn>(params)?.into()))
    }

    fn agree(head: &[u8]) -> Result<bool, TestCaseError> {
        let Some((id, endpoint, call)) = quick(head) else { return Ok(false) };
        let other = general(head).map(|(id, endpoint, call)| (id, endpoint, said(&call)));
        prop_assert_eq!(Some((id, endpoint.to_owned(), said(&call))), other);
        Ok(true)
    }

    fn head(texts: &[String], optional: u8, count: usize) -> Vec<u8> {
        let text = |at: usize| texts[at % texts.len()].as_str();
        let is = |bit: u8| optional & (1 << bit) != 0;
        let labels: BTreeMap<String, String> =
            (0..count).map(|at| (format!("{}{at}", text(at)), text(at + 1).to_owned())).collect();
        let names: Vec<String> = (0..count).map(|at| format!("p{at}")).collect();
        let params: Vec<(&str, Cow<'_, str>)> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), Cow::Borrowed(text(at + 2)))).collect();
        let chain: Vec<String> = (0..count).map(|at| format!("chain{at}")).collect();
        let headers: Vec<(&[u8], &[u8])> =
            (0..count).map(|at| (&b"x-name"[..], text(at).as_bytes())).collect();
        let call = CallOut {
            method: "GET",
            target: text(0),
            path: "/0/a",
            query: is(0).then(|| text(1)),
            path_params: &params,
            headers: headers.into_iter(),
            request_id: "r-1",
            caller: CallerOut::Parts {
                token: is(1).then(|| text(2)),
                labels: &labels,
                ip: "127.0.0.1",
                service: is(2).then(|| text(3)),
            },
            trace: is(3).then(|| TraceOut { traceparent: text(4), tracestate: is(4).then(|| text(5)) }),
            timeout_ms: 1500,
            chain: &chain,
            more: is(5),
        };
        let mut out = Vec::new();
        call.write(7, "GET /0/a", &mut out);
        out
    }

    proptest! {
        #[test]
        fn ordinary_calls_go_the_quick_way(
            texts in prop::collection::vec("[ !#-\\[\\]-~äé€]{0,20}", 1..8), optional in any::<u8>(), count in 0..5_usize,
        ) {
            prop_assert!(agree(&head(&texts, optional, count))?);
        }

        #[test]
        fn whatever_a_text_holds_the_two_ways_agree(
            texts in prop::collection::vec(any::<String>(), 1..4), optional in any::<u8>(), count in 0..12_usize,
            at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut head = head(&texts, optional, count);
            agree(&head)?;
            let at = at.index(head.len());
            head[at] = byte;
            agree(&head)?;
        }
    }

    #[test]
    fn control_methods_and_doubled_names_are_left_to_the_general_way() {
        let call = String::from_utf8(head(&["x".to_owned()], 0, 2)).unwrap();
        assert!(quick(call.as_bytes()).is_some());
        assert!(quick(call.replace("GET /0/a", "ping").as_bytes()).is_none());
        assert!(quick(call.replace("\"p1\":", "\"p0\":").as_bytes()).is_none());
    }
}
