//! Who calls, and whether it may: steps 4 of a call's life (design section 4).

use crate::access::{Access, Caller};
use crate::core::Core;
use crate::http::request::Incoming;
use crate::moment::Moment;
use crate::rescue::Refusal;
use hera_protocol::Code;
use hera_registry::TokenText;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long an unknown token is given to become known.
const TOKEN_ARRIVES: Duration = Duration::from_millis(250);
const BEARER: &[u8] = b"bearer ";
const TOKEN: &[u8] = b"hera_";

/// A caller that was let in, and which of its headers must not reach a worker.
#[derive(Debug)]
pub struct Identity {
    /// The token, or the anonymous record.
    pub caller: Arc<Caller>,
    /// `Authorization` carried the token, so it ends here.
    pub used_authorization: bool,
}

/// The token that a connection's last call had. Most connections send one token for ever, and its two hashes cost more than all other
/// checks of a head together.
#[derive(Debug, Default)]
pub struct LastToken(RefCell<Option<Remembered>>);

#[derive(Debug)]
struct Remembered {
    token: TokenText,
    /// The tokens among which it was found; weak, so that an idle connection keeps no table alive that was replaced.
    among: Weak<Access>,
    caller: Arc<Caller>,
}

impl LastToken {
    /// Its caller, if the text is the same and no token was made, changed or revoked since.
    fn caller(&self, text: &[u8], access: &Arc<Access>) -> Option<Arc<Caller>> {
        let last = self.0.borrow();
        let last = last.as_ref().filter(|last| std::ptr::eq(last.among.as_ptr(), Arc::as_ptr(access)))?;
        last.token.is(text).then(|| last.caller.clone())
    }
}

/// Why nobody was let in.
#[derive(Debug)]
pub enum Denied {
    /// For good.
    Refused(Refusal),
    /// The token with this digest is well-formed and not known here; a command may have made it a moment ago.
    Unknown([u8; 32]),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Denied {
        Denied::Refused(refusal)
    }
}

/// The answer to every token that is not valid here, and to none.
pub fn unauthorized() -> Refusal {
    Refusal::new(
        Code::Unauthorized,
        "a valid token is needed: send it as Hera-Token, or as Authorization: Bearer",
    )
}

/// An unknown token gets a moment to become known, where brokers hear of new ones from each other.
pub async fn arrives(core: &Core, digest: &[u8; 32]) {
    let known = || core.access().tokens.contains_key(digest);
    core.shared.registry.arrives(TOKEN_ARRIVES, known).await;
}

/// Finds the caller. Unknown, expired, malformed and missing are one answer, the same for every path.
pub fn identify(core: &Rc<Core>, last: &LastToken, incoming: &Incoming) -> Result<Identity, Denied> {
    let given = credentials(incoming)?;
    let (text, used_authorization) = match given {
        Given::Header(text) => (text, false),
        Given::Bearer(text) => (text, true),
        Given::Nothing => {
            let caller = core.access().anonymous.clone().ok_or_else(|| unknown(core, unauthorized()))?;
            still_believed(core)?;
            return Ok(Identity { caller, used_authorization: false });
        }
    };
    let caller = match last.caller(text, &core.access()) {
        Some(caller) => caller,
        None => look_up(core, last, text)?,
    };
    still_believed(core)?;
    // Most tokens end when they are revoked, and never by themselves.
    if caller.record.expires.is_some() && caller.record.is_expired(core.wall.recent_ms() / 1000) {
        return Err(unauthorized().into());
    }
    Ok(Identity { caller, used_authorization })
}

/// A text that is no token at all is refused whatever the registry holds; one that is merely unknown only by a broker that knows all.
fn look_up(core: &Rc<Core>, last: &LastToken, text: &[u8]) -> Result<Arc<Caller>, Denied> {
    let token = TokenText::parse(text).ok_or_else(unauthorized)?;
    let digest = token.digest();
    let mut access = core.access();
    if !access.tokens.contains_key(&digest) {
        // Made a moment ago by another process, perhaps: the files are asked before the caller is refused.
        // Looked up again whoever read them: the watch may have done so since the first look.
        core.shared.registry.refresh(&core.shared);
        access = core.access();
    }
    let Some(caller) = access.tokens.get(&digest).cloned() else {
        return Err(if core.shared.registry.is_in_sync() {
            Denied::Unknown(digest)
        } else {
            unavailable().into()
        });
    };
    let among = Arc::downgrade(&access);
    *last.0.borrow_mut() = Some(Remembered { token, among, caller: caller.clone() });
    Ok(caller)
}

/// Who has no token may be anonymous: that is known once the registry was read.
fn unknown(core: &Core, unauthorized: Refusal) -> Refusal {
    if core.shared.registry.is_loaded() { unauthorized } else { unavailable() }
}

fn unavailable() -> Refusal {
    Refusal::new(
        Code::RegistryUnavailable,
        "the registry is out of reach, and this token was never seen here; send the call again later",
    )
}

/// With `registry.max_stale`, no token and no key is believed once the copy is older.
pub fn still_believed(core: &Core) -> Result<(), Refusal> {
    if core.shared.registry.is_closed() {
        let detail = "the registry is out of reach for longer than this broker may go without; send the call again later";
        return Err(Refusal::new(Code::RegistryUnavailable, detail));
    }
    Ok(())
}

/// Whether the caller's scopes cover this call; the refusal names the command that would.
pub fn authorize(caller: &Caller, method: &str, path: &str) -> Result<(), Refusal> {
    if caller.record.allows(method, path) {
        return Ok(());
    }
    let name = &caller.record.name;
    let scope = format!("{method} {path}").replace('\'', r"'\''");
    let command = if caller.record.digest.is_none() {
        format!("hera token create --anonymous --allow '{scope}'")
    } else {
        format!("hera token create --name NEW-NAME --allow '{scope}'")
    };
    let detail = format!("token {name} may not call {method} {path}; an operator allows it with: {command}");
    Err(Refusal::new(Code::Forbidden, detail))
}

/// Takes the call off the token's rate.
pub fn within_rate(core: &Core, caller: &Caller, now: Moment) -> Result<(), Refusal> {
    let Some(rate) = &caller.record.rate else { return Ok(()) };
    let now_ns = now.since(core.shared.start).as_nanos() as u64;
    caller.usage.take(rate, now_ns).map_err(|seconds| {
        let mut refusal = Refusal::new(
            Code::RateLimited,
            format!("token {} is over its rate of {rate}", caller.record.name),
        );
        refusal.retry_after = Some(seconds);
        refusal
    })
}

/// A call counted for its token; dropping it uncounts.
#[derive(Debug)]
pub struct Counted(Arc<Caller>);

/// Counts the call for its token, or refuses it: one token must not take all of a broker.
pub fn count(core: &Core, caller: &Arc<Caller>) -> Result<Counted, Refusal> {
    let limit = core.shared.config.calls.in_flight_per_token_max;
    if caller.usage.in_flight.fetch_add(1, Ordering::Relaxed) >= limit {
        caller.usage.in_flight.fetch_sub(1, Ordering::Relaxed);
        let detail = format!("token {} has {limit} calls in flight here already", caller.record.name);
        return Err(Refusal::new(Code::RateLimited, detail));
    }
    Ok(Counted(caller.clone()))
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.usage.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Given<'a> {
    Header(&'a [u8]),
    Bearer(&'a [u8]),
    Nothing,
}

/// One credential, or none; two are refused rather than ranked.
fn credentials(incoming: &Incoming) -> Result<Given<'_>, Refusal> {
    let (mut header, mut authorization) = (None, None);
    for (name, value) in incoming.headers() {
        let slot = match name {
            b"hera-token" => &mut header,
            b"authorization" => &mut authorization,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            let name = String::from_utf8_lossy(name);
            return Err(Refusal::new(Code::AmbiguousCredentials, format!("{name} stands twice")));
        }
    }
    let bearer = authorization.and_then(hera_bearer);
    match (header, bearer) {
        (Some(_), Some(_)) => Err(Refusal::new(
            Code::AmbiguousCredentials,
            "Hera-Token beside Authorization: Bearer hera_…: send one",
        )),
        (Some(text), None) => Ok(Given::Header(text)),
        (None, Some(text)) => Ok(Given::Bearer(text)),
        (None, None) => Ok(Given::Nothing),
    }
}

/// The token in `Bearer hera_…`; any other `Authorization` is the application's own.
fn hera_bearer(value: &[u8]) -> Option<&[u8]> {
    let scheme = value.get(..BEARER.len())?;
    let text = value[BEARER.len()..].trim_ascii();
    (scheme.eq_ignore_ascii_case(BEARER) && text.starts_with(TOKEN)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    fn given(headers: &str) -> Result<&'static str, Code> {
        let text = format!("GET /a HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
        let incoming = Incoming::take(&mut BytesMut::from(text.as_str())).unwrap().unwrap();
        match credentials(&incoming) {
            Ok(Given::Header(_)) => Ok("header"),
            Ok(Given::Bearer(_)) => Ok("bearer"),
            Ok(Given::Nothing) => Ok("nothing"),
            Err(refusal) => Err(refusal.code),
        }
    }

    #[test]
    fn one_credential_is_taken_and_two_are_refused() {
        assert_eq!(given(""), Ok("nothing"));
        assert_eq!(given("Hera-Token: x\r\n"), Ok("header"));
        assert_eq!(given("Authorization: bearer hera_x\r\n"), Ok("bearer"));
        assert_eq!(given("Authorization: Basic abc\r\n"), Ok("nothing"));
        assert_eq!(given("Hera-Token: x\r\nAuthorization: Basic abc\r\n"), Ok("header"));
        for twice in [
            "Hera-Token: x\r\nHera-Token: x\r\n",
            "Hera-Token: x\r\nAuthorization: Bearer hera_y\r\n",
            "Authorization: Basic a\r\nAuthorization: Basic b\r\n",
        ] {
            assert_eq!(given(twice), Err(Code::AmbiguousCredentials), "{twice}");
        }
    }
}
