//! The connection string.

use super::limits::{CHROOT_BYTES_MAX, SERVERS_MAX};
use crate::error::Error;

const PORT: u16 = 2181;

/// `zk://host:port,host:port/chroot`, or `zks://…` over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZkUrl {
    /// Names or addresses, IPv6 ones without brackets.
    hosts: Vec<(String, u16)>,
    /// Empty, or from its slash on.
    chroot: String,
    /// Whether the servers are spoken to over TLS.
    tls: bool,
}

impl ZkUrl {
    /// Whether a text means ZooKeeper by its scheme.
    pub fn has_scheme(text: &str) -> bool {
        text.starts_with("zk://") || text.starts_with("zks://")
    }

    /// Reads a URL. Error `bad_url` names what is wrong with it.
    pub fn parse(text: &str) -> Result<ZkUrl, Error> {
        match (text.strip_prefix("zk://"), text.strip_prefix("zks://")) {
            (Some(rest), _) => read(text, rest, false),
            (_, Some(rest)) => read(text, rest, true),
            _ => Err(bad(text, "begins with neither zk:// nor zks://")),
        }
    }

    /// Reads a URL, or the same without a scheme, as workers may write it.
    pub fn parse_plain(text: &str) -> Result<ZkUrl, Error> {
        if text.contains("://") { ZkUrl::parse(text) } else { read(text, text, false) }
    }

    /// Whether the servers are spoken to over TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// Empty, or a path that begins with a slash.
    pub fn chroot(&self) -> &str {
        &self.chroot
    }

    /// The servers without the chroot, for the client library.
    pub(crate) fn servers(&self) -> String {
        let host = |(host, port): &(String, u16)| match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        self.hosts.iter().map(host).collect::<Vec<_>>().join(",")
    }
}

impl std::fmt::Display for ZkUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "zks" } else { "zk" };
        write!(f, "{scheme}://{}{}", self.servers(), self.chroot)
    }
}

fn read(text: &str, rest: &str, tls: bool) -> Result<ZkUrl, Error> {
    let (hosts, chroot) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let chroot = chroot.strip_suffix('/').unwrap_or(chroot);
    let hosts = hosts
        .split(',')
        .map(|part| host(part.trim()).ok_or_else(|| bad(text, &format!("{part:?} is not host:port"))))
        .collect::<Result<Vec<_>, _>>()?;
    if hosts.len() > SERVERS_MAX {
        return Err(bad(text, "names more than 64 servers"));
    }
    if !is_chroot(chroot) {
        return Err(bad(
            text,
            "its chroot is not segments of letters, digits, '.', '_' or '-', at most 255 bytes",
        ));
    }
    Ok(ZkUrl { hosts, chroot: chroot.to_owned(), tls })
}

fn host(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => PORT,
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    (!host.is_empty() && host.len() <= 253 && host.chars().all(plain)).then(|| (host.to_owned(), port))
}

fn is_chroot(chroot: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let segment = |text: &str| !matches!(text, "" | "." | "..") && text.bytes().all(plain);
    chroot.is_empty() || chroot.len() <= CHROOT_BYTES_MAX && chroot[1..].split('/').all(segment)
}

fn bad(text: &str, problem: &str) -> Error {
    Error::BadUrl { url: text.chars().take(200).collect(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written() {
        let cases = [
            ("zk://a", "zk://a:2181"),
            ("zk://a:1,b:2/hera/prod", "zk://a:1,b:2/hera/prod"),
            ("zk://a/", "zk://a:2181"),
            ("zks://a:1/x/", "zks://a:1/x"),
            ("zk://[::1]:7, 10.0.0.1", "zk://[::1]:7,10.0.0.1:2181"),
        ];
        for (text, written) in cases {
            assert_eq!(ZkUrl::parse(text).unwrap().to_string(), written);
        }
        assert_eq!(ZkUrl::parse_plain("a:1,b/hera").unwrap().to_string(), "zk://a:1,b:2181/hera");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "a",
            "zk://",
            "zk://,",
            "zk://a:0",
            "zk://a:x",
            "zk://a:70000",
            "zk://u@a",
            "zk://a//b",
            "zk://a/..",
            "zk://a/b c",
            "zk://a/b%2f",
            "http://a",
            "zk://[a]:1",
            "zk://a:1:2",
        ] {
            assert_eq!(ZkUrl::parse(text).unwrap_err().code(), "bad_url", "{text}");
        }
        assert!(ZkUrl::parse_plain("hera://a").is_err());
    }
}
