//! Real ZooKeeper servers, of Debian's package: one alone, or an ensemble of three.

use crate::log::Log;
use crate::process::signal;
use crate::wait::{PATIENCE, wait_at_most};
use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::BuildHasher;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const JARS: &str = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar";
/// Three JVMs that start at once take their time on two cores.
const START: Duration = Duration::from_secs(60);
/// A frozen server must not freeze its test.
const ANSWER: Duration = Duration::from_secs(2);
/// Sessions last 2 to 20 ticks.
const TICK_MS: u32 = 500;
/// Below the ports that Linux gives to whoever asks for any, so that nobody takes one of a server that is down.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What a server is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One server alone.
    Standalone,
    /// It decides.
    Leader,
    /// It follows.
    Follower,
}

/// Servers with data of their own: sessions of 1 to 10 s, any number of clients, all four-letter commands. Gone when dropped.
#[derive(Debug)]
pub struct TestZooKeeper {
    servers: Vec<Server>,
    dir: tempfile::TempDir,
}

#[derive(Debug)]
struct Server {
    client: u16,
    peer: u16,
    election: u16,
    process: Option<(Child, Log)>,
}

impl TestZooKeeper {
    /// One server, once it serves.
    pub fn start() -> TestZooKeeper {
        TestZooKeeper::ensemble(1)
    }

    /// So many servers, once all serve.
    pub fn ensemble(count: usize) -> TestZooKeeper {
        let mut ports = free_ports(count * 3).into_iter();
        let mut port = || ports.next().unwrap();
        let servers: Vec<Server> = (0..count)
            .map(|_| Server { client: port(), peer: port(), election: port(), process: None })
            .collect();
        let mut zookeeper = TestZooKeeper { servers, dir: tempfile::tempdir().unwrap() };
        for n in 0..count {
            zookeeper.begin(n);
        }
        zookeeper.wait_serving();
        zookeeper
    }

    /// Where a server keeps its log of changes and its snapshots: every byte that was ever written to it.
    pub fn data_dir(&self, n: usize) -> PathBuf {
        self.dir.path().join(n.to_string()).join("data")
    }

    /// How many servers there are, up or down.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// There is always one.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Where clients of server `n` come in.
    pub fn address(&self, n: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.servers[n].client).into()
    }

    /// All servers, as clients take them: `host:port,host:port`.
    pub fn hosts(&self) -> String {
        let hosts: Vec<String> = (0..self.len()).map(|n| self.address(n).to_string()).collect();
        hosts.join(",")
    }

    /// `zk://host:port,host:port/chroot`; `chroot` begins with a slash or is empty.
    pub fn url(&self, chroot: &str) -> String {
        format!("zk://{}{chroot}", self.hosts())
    }

    /// What server `n` answers to a four-letter command; `None` when it is down or frozen.
    pub fn ask(&self, n: usize, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address(n), ANSWER).ok()?;
        stream.set_read_timeout(Some(ANSWER)).ok()?;
        stream.write_all(command.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// What server `n` is now; `None` while it does not serve. By `srvr`, since `ruok` says `imok` before the server serves.
    pub fn mode(&self, n: usize) -> Option<Mode> {
        let answer = self.ask(n, "srvr")?;
        match answer.lines().find_map(|line| line.strip_prefix("Mode: "))? {
            "standalone" => Some(Mode::Standalone),
            "leader" => Some(Mode::Leader),
            "follower" => Some(Mode::Follower),
            _ => None,
        }
    }

    /// The server that leads, once one does.
    pub fn leader(&self) -> usize {
        let mut leader = None;
        wait_at_most(START, "a leader", || {
            leader = (0..self.len()).find(|n| self.mode(*n) == Some(Mode::Leader));
            leader.is_some()
        });
        leader.unwrap()
    }

    /// A server that follows, once one does.
    pub fn follower(&self) -> usize {
        let mut follower = None;
        wait_at_most(START, "a follower", || {
            follower = (0..self.len()).find(|n| self.mode(*n) == Some(Mode::Follower));
            follower.is_some()
        });
        follower.unwrap()
    }

    /// Waits until all servers that were started serve.
    pub fn wait_serving(&self) {
        for (n, server) in self.servers.iter().enumerate().filter(|(_, server)| server.process.is_some()) {
            wait_at_most(START, &format!("ZooKeeper server {n} on port {} to serve", server.client), || {
                self.mode(n).is_some()
            });
        }
    }

    /// Process of server `n`.
    pub fn pid(&self, n: usize) -> u32 {
        let (child, _) = self.servers[n].process.as_ref().unwrap_or_else(|| panic!("server {n} is down"));
        child.id()
    }

    /// Log of server `n` since it was started last.
    pub fn log(&self, n: usize) -> Option<&Log> {
        self.servers[n].process.as_ref().map(|(_, log)| log)
    }

    /// Ends server `n` at once, as a machine would.
    pub fn kill(&mut self, n: usize) {
        if let Some((mut child, _)) = self.servers[n].process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks server `n` to end, and waits for it.
    pub fn stop(&mut self, n: usize) {
        if let Some((mut child, _)) = self.servers[n].process.take() {
            signal("TERM", child.id());
            wait_at_most(PATIENCE, "ZooKeeper to end", || child.try_wait().unwrap().is_some());
        }
    }

    /// Stops server `n` where it stands: its connections stay, and it answers nothing.
    pub fn freeze(&self, n: usize) {
        signal("STOP", self.pid(n));
    }

    /// Lets it go on.
    pub fn thaw(&self, n: usize) {
        signal("CONT", self.pid(n));
    }

    /// Starts server `n` again on its port and its data; does not wait, see [`TestZooKeeper::wait_serving`].
    pub fn begin(&mut self, n: usize) {
        self.kill(n);
        let dir = self.dir.path().join(n.to_string());
        std::fs::create_dir_all(dir.join("data")).unwrap();
        std::fs::write(dir.join("data/myid"), (n + 1).to_string()).unwrap();
        let file = dir.join("zoo.cfg");
        std::fs::write(&file, self.configuration(n, &dir.join("data"))).unwrap();
        let mut child = java(&file).current_dir(&dir).spawn().unwrap_or_else(|error| {
            panic!("java (packages default-jre-headless, zookeeper) does not start: {error}")
        });
        let log = Log::of(child.stderr.take().unwrap());
        self.servers[n].process = Some((child, log));
    }

    /// Starts server `n` again and waits until it serves.
    pub fn restart(&mut self, n: usize) {
        self.begin(n);
        self.wait_serving();
    }

    /// Ends server `n` and forgets its data.
    pub fn wipe(&mut self, n: usize) {
        self.kill(n);
        std::fs::remove_dir_all(self.dir.path().join(n.to_string())).unwrap();
    }

    /// Ends a session as its owner would, from a second connection: the server cuts the owner, and its ephemeral nodes are gone.
    ///
    /// `id` and `password` are what the server gave the owner when it connected.
    pub fn expire(&self, id: i64, password: &[u8]) {
        let n =
            (0..self.len()).find(|n| self.mode(*n).is_some()).unwrap_or_else(|| panic!("no server serves"));
        let mut stream = TcpStream::connect_timeout(&self.address(n), PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&connect_request(id, password)).unwrap();
        let answer = packet(&mut stream);
        let given = answer.get(8..16).map(|bytes| i64::from_be_bytes(bytes.try_into().unwrap()));
        assert_eq!(given, Some(id), "the session is over, or the password is wrong");
        // Request 1, of type closeSession.
        stream
            .write_all(&[&8_i32.to_be_bytes()[..], &1_i32.to_be_bytes(), &(-11_i32).to_be_bytes()].concat())
            .unwrap();
        packet(&mut stream);
    }

    fn configuration(&self, n: usize, data: &Path) -> String {
        let mut text = format!(
            "tickTime={TICK_MS}\ninitLimit=20\nsyncLimit=6\nmaxClientCnxns=0\nadmin.enableServer=false\n\
             4lw.commands.whitelist=*\ndataDir={}\nclientPortAddress=127.0.0.1\nclientPort={}\n",
            data.display(),
            self.servers[n].client
        );
        if self.len() > 1 {
            for (number, server) in (1..).zip(&self.servers) {
                let _ = writeln!(text, "server.{number}=127.0.0.1:{}:{}", server.peer, server.election);
            }
        }
        text
    }
}

impl Drop for TestZooKeeper {
    fn drop(&mut self) {
        for server in &mut self.servers {
            if let Some((mut child, log)) = server.process.take() {
                let _ = child.kill();
                let _ = child.wait();
                if std::thread::panicking() {
                    let lines = log.lines();
                    let last = &lines[lines.len().saturating_sub(LOG_SHOWN)..];
                    eprintln!("---- log of ZooKeeper {} ----\n{}", server.client, last.join("\n"));
                }
            }
        }
    }
}

/// Small, quick to start, and light on two cores: there are up to three of them.
fn java(configuration: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx96m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args([
            "-Dzookeeper.forceSync=no",
            "-Dzookeeper.preAllocSize=1024",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
        ])
        .args(["-cp", JARS, "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
        .arg(configuration)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    java
}

/// Ports that nobody has now, all different.
fn free_ports(count: usize) -> Vec<u16> {
    let mut held = Vec::new();
    let width = u64::from(PORTS.end - PORTS.start);
    let mut draw = RandomState::new().hash_one(std::process::id());
    while held.len() < count {
        draw = RandomState::new().hash_one(draw);
        let port = PORTS.start + u16::try_from(draw % width).unwrap();
        held.extend(TcpListener::bind(("127.0.0.1", port)));
    }
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Length, protocol version, last zxid seen, timeout, session, password, read-only.
fn connect_request(id: i64, password: &[u8]) -> Vec<u8> {
    let length = i32::try_from(password.len()).unwrap();
    let body = [
        &0_i32.to_be_bytes()[..],
        &0_i64.to_be_bytes(),
        &10_000_i32.to_be_bytes(),
        &id.to_be_bytes(),
        &length.to_be_bytes(),
        password,
        &[0],
    ]
    .concat();
    [&i32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
}

fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Last lines of the log of a failed test.
const LOG_SHOWN: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// A session with nothing in it: its id and password.
    fn session(zookeeper: &TestZooKeeper, n: usize) -> (TcpStream, i64, Vec<u8>) {
        let mut stream = TcpStream::connect(zookeeper.address(n)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&connect_request(0, &[0; 16])).unwrap();
        let answer = packet(&mut stream);
        let id = i64::from_be_bytes(answer[8..16].try_into().unwrap());
        (stream, id, answer[20..36].to_vec())
    }

    #[test]
    fn session_of_another_is_expired_by_its_id_and_password() {
        let zookeeper = TestZooKeeper::start();
        assert_eq!(zookeeper.mode(0), Some(Mode::Standalone));
        let (mut owner, id, password) = session(&zookeeper, 0);

        zookeeper.expire(id, &password);

        assert_eq!(owner.read(&mut [0; 16]).unwrap_or(0), 0, "its owner was cut");
    }

    #[test]
    fn ensemble_elects_anew_when_its_leader_is_killed_or_frozen() {
        let mut zookeeper = TestZooKeeper::ensemble(3);

        let killed = zookeeper.leader();
        zookeeper.kill(killed);
        let next = zookeeper.leader();
        assert_ne!(next, killed);
        zookeeper.restart(killed);
        assert_eq!(zookeeper.mode(killed), Some(Mode::Follower));

        zookeeper.freeze(next);
        wait_at_most(START, "another leader", || {
            (0..3).any(|n| n != next && zookeeper.mode(n) == Some(Mode::Leader))
        });
        zookeeper.thaw(next);
        wait_at_most(START, "the old leader to follow", || zookeeper.mode(next) == Some(Mode::Follower));

        let follower = zookeeper.follower();
        zookeeper.stop(follower);
        zookeeper.wipe(follower);
        zookeeper.restart(follower);
        assert!(zookeeper.mode(follower).is_some());
    }
}
