//! What is asked of a configuration, checked before a line of it is written.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::args::RenderHaproxy;
use crate::failure::Failure;

/// What stands in a configuration besides the brokers.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where callers come in, as HAProxy reads it; never empty.
    pub(crate) binds: Vec<String>,
    /// PEM file of certificate and key.
    pub(crate) tls_cert: Option<String>,
    /// PEM file of the certificates that a broker's is held to.
    pub(crate) ca_file: Option<String>,
    /// Socket of the Runtime API.
    pub(crate) stats: Option<String>,
    /// Connections of callers at once.
    pub(crate) maxconn: u32,
    /// Calls at once with one broker, in each backend.
    pub(crate) server_maxconn: u32,
    /// Threads; HAProxy takes a core each where it is not told.
    pub(crate) nbthread: Option<u32>,
    /// Who it becomes once its ports are open.
    pub(crate) user: Option<String>,
    /// Where it speaks to itself: address and port.
    pub(crate) inner: String,
}

impl Options {
    /// Reads the options of the verb.
    pub(crate) fn of(args: &RenderHaproxy) -> Result<Options, Failure> {
        let usage = |text: String| Failure::refused("bad_option", &text);
        // HAProxy looks from its own folder.
        let file = |path: &Path| {
            quoted(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned())).map_err(usage)
        };
        let mut binds = args.bind.clone();
        if binds.is_empty() {
            binds.push("127.0.0.1:8000".to_owned());
        }
        if let Some(bad) = binds.iter().find(|bind| !is_bind(bind)) {
            return Err(usage(format!(
                "--bind {bad:?} is none of IP:PORT, *:PORT, [IPv6]:PORT and fd@NUMBER"
            )));
        }
        if let Some(bad) = args.user.as_ref().filter(|user| !is_user(user)) {
            return Err(usage(format!("--user {bad:?} is no name of a user")));
        }
        let inner = &args.inner;
        if !inner.ip().is_loopback() || inner.port() == 0 {
            return Err(usage(format!("--inner {inner} is no loopback address with a port")));
        }
        if binds.iter().any(|bind| meet(bind, *inner)) {
            return Err(usage(format!("--inner {inner} is bound for callers too; give another port")));
        }
        Ok(Options {
            tls_cert: args.tls_cert.as_deref().map(file).transpose()?,
            ca_file: args.ca_file.as_deref().map(file).transpose()?,
            stats: args.stats.as_deref().map(file).transpose()?,
            maxconn: args.maxconn,
            server_maxconn: args.server_maxconn,
            nbthread: args.nbthread,
            user: args.user.clone(),
            binds,
            inner: inner.to_string(),
        })
    }

    /// The binds by which tokens would cross a network in the clear.
    pub(crate) fn plain_off_loopback(&self) -> Vec<&str> {
        let is_local = |bind: &&str| {
            bind.starts_with("fd@")
                || bind.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
        };
        let binds = self.binds.iter().map(String::as_str).filter(|bind| !is_local(bind));
        if self.tls_cert.is_some() { Vec::new() } else { binds.collect() }
    }
}

/// Whether a bind takes this address as well.
fn meet(bind: &str, inner: SocketAddr) -> bool {
    let (host, port) = bind.rsplit_once(':').unwrap_or((bind, ""));
    let same =
        bind.parse::<SocketAddr>().is_ok_and(|bind| bind.ip() == inner.ip() || bind.ip().is_unspecified());
    port == inner.port().to_string() && (host == "*" || same)
}

fn is_bind(text: &str) -> bool {
    if let Some(number) = text.strip_prefix("fd@") {
        return number.parse::<u16>().is_ok_and(|fd| fd.to_string() == number);
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_ip = match bare {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()),
    };
    is_port && (host == "*" || is_ip)
}

fn is_user(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=32).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-')
}

/// A path as one word of the configuration: within single quotes nothing has a meaning but their end.
fn quoted(path: &Path) -> Result<String, String> {
    let text = path
        .to_str()
        .filter(|text| !text.is_empty() && !text.contains(|c: char| c.is_control() || c == '\''));
    let text = text.ok_or_else(|| format!("{path:?} cannot stand in a configuration of HAProxy"))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte);
    Ok(if text.bytes().all(plain) { text.to_owned() } else { format!("'{text}'") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_bound() {
        for good in ["127.0.0.1:8000", "*:443", "[::1]:8000", "[::]:443", "0.0.0.0:80", "fd@3"] {
            assert!(is_bind(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "8000",
            "localhost:80",
            "::1:80",
            "1.2.3.4:0",
            "1.2.3.4:080",
            "*:80 ssl",
            "fd@",
            "fd@x",
            "/x",
            "1.2.3.4:80-90",
        ] {
            assert!(!is_bind(bad), "{bad}");
        }
    }

    #[test]
    fn paths_are_one_word() {
        assert_eq!(quoted(Path::new("/etc/hera/a.pem")), Ok("/etc/hera/a.pem".to_owned()));
        assert_eq!(quoted(Path::new("/etc/my $certs/#1")), Ok("'/etc/my $certs/#1'".to_owned()));
        for bad in ["", "a'b", "a\nb", "a\0b"] {
            assert!(quoted(Path::new(bad)).is_err(), "{bad:?}");
        }
    }
}
