//! Who may ask: the checks of `Host`, `Origin` and the admin token.

use std::net::{IpAddr, SocketAddr};

use hera_registry::AdminToken;

use super::{AdminReply, AdminRequest};

/// `Host` must be an address of ours or a configured name. The port is not judged: a tunnel has another.
pub(super) fn check_host(
    request: &AdminRequest,
    listen: SocketAddr,
    hosts: &[String],
) -> Result<(), AdminReply> {
    let Some(host) = request.host.as_deref().and_then(without_port) else {
        return Err(AdminReply::error(
            400,
            "bad_request",
            "one Host header, as host or host:port, is needed",
        ));
    };
    let ours = match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback() || ip == listen.ip(),
        Err(_) => host == "localhost" || hosts.contains(&host),
    };
    match ours {
        true => Ok(()),
        false => Err(AdminReply::error(
            403,
            "forbidden_host",
            "this Host is not answered; admin.hosts may name it",
        )),
    }
}

/// A browser says where a request was made: only a page of this very host may ask.
pub(super) fn check_origin(request: &AdminRequest) -> Result<(), AdminReply> {
    let (Some(origin), Some(host)) = (&request.origin, &request.host) else { return Ok(()) };
    let page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    match page {
        Some(page) if page.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(AdminReply::error(403, "forbidden_origin", "pages of other origins may not ask")),
    }
}

/// `Authorization: Bearer <admin token>`, compared in constant time.
pub(super) fn check_token(request: &AdminRequest, token: &AdminToken) -> Result<(), AdminReply> {
    let given = request.authorization.as_deref().and_then(|value| value.split_once(' '));
    if given
        .is_some_and(|(scheme, given)| scheme.eq_ignore_ascii_case("bearer") && token.matches(given.trim()))
    {
        return Ok(());
    }
    let detail =
        "the admin token is needed: Authorization: Bearer <content of admin.token in the broker's data dir>";
    let mut reply = AdminReply::error(401, "unauthorized", detail);
    reply.headers.push(("WWW-Authenticate", "Bearer".to_owned()));
    Err(reply)
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`, in lower case.
fn without_port(value: &str) -> Option<String> {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match value.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => host,
        Some(Some((host, port))) => port.strip_prefix(':').filter(|port| is_port(port)).map(|_| host)?,
        Some(None) => return None,
        None => match value.split_once(':') {
            Some((host, port)) => is_port(port).then_some(host)?,
            None => value,
        },
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn host_is_told_from_its_port() {
        let host = |value| without_port(value);

        assert_eq!(host("LocalHost:4380").as_deref(), Some("localhost"));
        assert_eq!(host("[::1]:4380").as_deref(), Some("::1"));
        assert_eq!(host("[::1]").as_deref(), Some("::1"));
        assert_eq!(host("127.0.0.1").as_deref(), Some("127.0.0.1"));
        for value in ["", ":80", "[::1", "[::1]x", "a:b", "a:1:2", "[]:1", "localhost:80@evil"] {
            assert_eq!(host(value), None, "{value}");
        }
    }
}
