//! A network namespace with a line to this one: for what loopback cannot do, as lines that go dead and say nothing.

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);
const TRIES: u32 = 64;

/// A namespace; it goes with its line when dropped. Needs root, `ip` and `nft`.
#[derive(Debug)]
pub struct Netns {
    name: String,
    outside: Ipv4Addr,
    inside: Ipv4Addr,
}

/// What no longer arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// What is sent into the namespace.
    In,
    /// What is sent out of it.
    Out,
    /// Neither.
    Both,
}

impl Netns {
    /// Whether this process may make one; a test that needs one says that it was skipped otherwise.
    pub fn is_possible() -> bool {
        std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
    }

    /// Makes one.
    pub fn new() -> Netns {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let name = format!("hera-{pid}-{number}");
        let (near, far) = (format!("h{pid}n{number}"), format!("h{pid}f{number}"));
        run("ip", &["netns", "add", &name]);
        run("ip", &["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &name]);
        // Another test process may have drawn the same network: the first that is free.
        let free = (0..TRIES).map(|n| pid.wrapping_mul(7).wrapping_add(number + n) % 16_384);
        let network = free
            .map(|n| [10, 213, u8::try_from(n / 64).unwrap_or(0), u8::try_from(n % 64 * 4).unwrap_or(0)])
            .find(|[a, b, c, d]| {
                let outside = format!("{a}.{b}.{c}.{}", d + 1);
                !succeeds("ip", &["addr", "show", "to", &format!("{outside}/32")], &outside)
            });
        let [a, b, c, d] = network.unwrap_or_else(|| panic!("no network within 10.213.0.0/16 is free"));
        let (outside, inside) = (Ipv4Addr::new(a, b, c, d + 1), Ipv4Addr::new(a, b, c, d + 2));
        run("ip", &["addr", "add", &format!("{outside}/30"), "dev", &near]);
        run("ip", &["link", "set", &near, "up"]);
        let netns = Netns { name, outside, inside };
        netns.run(&["ip", "addr", "add", &format!("{inside}/30"), "dev", &far]);
        netns.run(&["ip", "link", "set", &far, "up"]);
        netns.run(&["ip", "link", "set", "lo", "up"]);
        netns.run(&["nft", "add table inet hera"]);
        netns.run(&["nft", "add chain inet hera in { type filter hook input priority 0; }"]);
        netns.run(&["nft", "add chain inet hera out { type filter hook output priority 0; }"]);
        netns
    }

    /// This side's address, which the namespace reaches.
    pub fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// The namespace's own address.
    pub fn inside(&self) -> Ipv4Addr {
        self.inside
    }

    /// A command that runs within it; the process is that of the program itself.
    pub fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(inner.get_program()).args(inner.get_args());
        command
    }

    /// From now on, packets in this direction are gone without a word.
    pub fn cut(&self, cut: Cut) {
        if cut != Cut::Out {
            self.run(&["nft", "add rule inet hera in drop"]);
        }
        if cut != Cut::In {
            self.run(&["nft", "add rule inet hera out drop"]);
        }
    }

    /// Packets arrive again.
    pub fn heal(&self) {
        self.run(&["nft", "flush table inet hera"]);
    }

    fn run(&self, command: &[&str]) {
        run("ip", &[&["netns", "exec", &self.name], command].concat());
    }
}

impl Default for Netns {
    fn default() -> Netns {
        Netns::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // Its end of the line goes with it, and the other end with that.
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

fn run(program: &str, args: &[&str]) {
    let output =
        Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn succeeds(program: &str, args: &[&str], wanted: &str) -> bool {
    let output = Command::new(program).args(args).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(wanted))
}
