//! A broker as HAProxy is told of it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use hera_registry::zookeeper::BrokerNode;

/// A name or address that may stand in a configuration: nothing in it has a meaning for HAProxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// `[a-z0-9-]{1,32}`, the name of the server in HAProxy too.
    pub(crate) id: String,
    /// Name or IP address, IPv6 ones without brackets.
    pub(crate) host: String,
    /// Where callers come in.
    pub(crate) port: u16,
    /// Whether it speaks TLS there.
    pub(crate) tls: bool,
}

impl Server {
    /// Reads `ID=HOST:PORT` or `ID=URL`; an error names what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Server, String> {
        let (id, address) =
            text.split_once('=').ok_or("a server is ID=HOST:PORT, or ID=https://HOST:PORT for TLS")?;
        Server::new(id, address)
    }

    /// What a registered broker says of itself. Its MAC was checked; its texts are all the same looked at before they stand in a file.
    pub(crate) fn of(node: &BrokerNode) -> Result<Server, String> {
        Server::new(&node.id, &node.http)
    }

    fn new(id: &str, url: &str) -> Result<Server, String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=32).contains(&id.len()) || !id.bytes().all(plain) {
            return Err(format!("{id:?} is no id of a broker: 1 to 32 of a-z, 0-9 and -"));
        }
        let (tls, authority) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => (false, url),
        };
        let bad = |problem: &str| format!("the address {url:?} of broker {id} {problem}");
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| bad("has no port"))?;
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|port| is_number && *port > 0);
        let port = port.ok_or_else(|| bad("has a port that is none of 1 to 65535"))?;
        let host = host_of(host).ok_or_else(|| bad("has no name or IP address for a host"))?;
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err(bad("cannot be connected to; set `broker.advertise` of that broker"));
        }
        Ok(Server { id: id.to_owned(), host, port, tls })
    }

    /// Whether its certificate can be held to its name: HAProxy compares names, and no addresses.
    pub(crate) fn has_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }
}

/// `HOST:PORT`, as HAProxy reads it.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

fn host_of(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        return Some(inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let fits = (1..=253).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric());
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_by_address_and_by_url() {
        let shown = |text| Server::parse(text).map(|server| (server.to_string(), server.tls));

        assert_eq!(shown("b-1=10.0.0.7:8080"), Ok(("10.0.0.7:8080".to_owned(), false)));
        assert_eq!(shown("b-1=http://b-1.hera:8080"), Ok(("b-1.hera:8080".to_owned(), false)));
        assert_eq!(shown("b-1=https://b-1.hera:443"), Ok(("b-1.hera:443".to_owned(), true)));
        assert_eq!(shown("b-1=http://[::1]:8080"), Ok(("[::1]:8080".to_owned(), false)));
    }

    #[test]
    fn whatever_could_mean_something_to_haproxy_is_refused() {
        for text in [
            "10.0.0.7:8080",
            "=10.0.0.7:8080",
            "B=10.0.0.7:8080",
            "b 1=10.0.0.7:8080",
            "b-1=10.0.0.7",
            "b-1=10.0.0.7:0",
            "b-1=10.0.0.7:+80",
            "b-1=10.0.0.7:65536",
            "b-1=:8080",
            "b-1=0.0.0.0:8080",
            "b-1=[::]:8080",
            "b-1=[::1%eth0]:8080",
            "b-1=::1:8080",
            "b-1=fd@3:8080",
            "b-1=unix@/x:8080",
            "b-1=-x:8080",
            "b-1=a b:8080",
            "b-1=a#b:8080",
            "b-1=a\nb:8080",
            "b-1=\"a\":8080",
            "b-1=$HOME:8080",
            "b-1=user@host:8080",
            "b-1=https://host:443/x",
            "b-1=ftp://host:21",
        ] {
            assert!(Server::parse(text).is_err(), "{text:?}");
        }
    }
}
