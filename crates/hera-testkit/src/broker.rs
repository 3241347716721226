//! A broker as a process.

use crate::binary::command;
use crate::http::{HttpConnection, Request, Response};
use crate::log::Log;
use crate::raw_worker::RawWorker;
use crate::wait::{PATIENCE, wait_at_most};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a broker is to be started.
#[derive(Debug, Default)]
pub struct BrokerBuilder {
    args: Vec<String>,
    env: Vec<(String, String)>,
    config: Option<String>,
    dir: Option<Arc<tempfile::TempDir>>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub struct Verdict {
    /// Exit code; -1 for a signal.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Verdict {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Verdict {
        let output = command.output().unwrap();
        Verdict {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl BrokerBuilder {
    /// Adds arguments of `hera broker`; one of `--http`, `--workers`, `--admin`, `--data-dir` replaces the fixture's own.
    pub fn with_args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> BrokerBuilder {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Gives it this configuration file.
    pub fn with_config(mut self, toml: &str) -> BrokerBuilder {
        self.config = Some(toml.to_owned());
        self
    }

    /// Sets a variable of its environment, which has nothing of Hera otherwise.
    pub fn with_env(mut self, name: &str, value: &str) -> BrokerBuilder {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives it the records that `other` has on disk now, and its cluster key: the same tokens, worker keys and endpoints.
    pub fn with_records_of(mut self, other: &TestBroker) -> BrokerBuilder {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::DirBuilder::new().mode(0o700).create(&data).unwrap();
        for name in ["cluster.key", "tokens.json", "keys.json", "catalogue.json"] {
            let from = other.data_dir().join(name);
            if from.exists() {
                // `copy` takes the mode along, which is part of what a broker asks of its key.
                std::fs::copy(from, data.join(name)).unwrap();
            }
        }
        self.dir = Some(Arc::new(dir));
        self
    }

    /// Starts it and waits until it is ready; panics when it ends instead.
    pub fn start(self) -> TestBroker {
        let dir = self.dir.clone().unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let mut command = self.command(dir.path());
        let (child, log, ready) = spawn(&mut command);
        TestBroker { dir, child: Mutex::new(child), log, ready, builder: self, names: AtomicU32::new(1) }
    }

    /// Starts one that cannot: runs it to its end.
    pub fn run(self) -> Verdict {
        let dir = tempfile::tempdir().unwrap();
        Verdict::of(&mut self.command(dir.path()))
    }

    /// Starts it and goes on at once: its callers' port is known, and whether it becomes ready is the test's business.
    pub fn begin(self) -> Starting {
        let dir = self.dir.clone().unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let builder = self.with_args(["--http".to_owned(), http.to_string()]);
        let child = builder.command(dir.path()).spawn().unwrap();
        Starting { builder, dir, child, http }
    }

    /// Starts it, tells it to end after `delay`, and gives its exit code, -1 for a signal; and whether it had begun to do anything.
    pub fn run_and_signal(self, delay: Duration) -> (i32, bool) {
        let mut starting = self.begin();
        let (_held, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(delay);
        signal("TERM", starting.child.id());
        let mut status = None;
        wait_at_most(PATIENCE, "the broker's end", || {
            status = starting.child.try_wait().unwrap();
            status.is_some()
        });
        let code = status.and_then(|status| status.code()).unwrap_or(-1);
        (code, starting.dir.path().join("data").exists())
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = command();
        command.arg("broker").current_dir(dir);
        let data = dir.join("data").display().to_string();
        let local = "127.0.0.1:0".to_owned();
        let own = [
            ("--http", local.clone()),
            ("--workers", local.clone()),
            ("--admin", local),
            ("--data-dir", data),
        ];
        for (flag, value) in own {
            let given = |arg: &String| arg == flag || arg.starts_with(&format!("{flag}="));
            if !self.args.iter().any(given) {
                command.args([flag, &value]);
            }
        }
        if let Some(toml) = &self.config {
            std::fs::write(dir.join("hera.toml"), toml).unwrap();
            command.args(["--config", "hera.toml"]);
        }
        command.args(&self.args).envs(self.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A broker that was started and is not known to be ready; killed when dropped.
#[derive(Debug)]
pub struct Starting {
    builder: BrokerBuilder,
    dir: Arc<tempfile::TempDir>,
    child: Child,
    http: SocketAddr,
}

impl Starting {
    /// Sends a request once its door is open, and waits for the answer.
    pub fn ask(&self, request: &Request) -> Response {
        wait_at_most(PATIENCE, "the broker to listen", || TcpStream::connect(self.http).is_ok());
        let mut connection = HttpConnection::open(self.http);
        connection.send(&request.bytes());
        connection.response_to(request.method())
    }

    /// Waits until it is ready.
    pub fn ready(mut self) -> TestBroker {
        let log = Log::of(self.child.stderr.take().unwrap());
        let ready = ready(&mut self.child, &log);
        let child = std::mem::replace(&mut self.child, Command::new("true").spawn().unwrap());
        TestBroker {
            dir: self.dir.clone(),
            child: Mutex::new(child),
            log,
            ready,
            builder: std::mem::take(&mut self.builder),
            names: AtomicU32::new(1),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// A running broker: killed when dropped, its log shown when the test fails.
#[derive(Debug)]
pub struct TestBroker {
    dir: Arc<tempfile::TempDir>,
    child: Mutex<Child>,
    log: Log,
    ready: Ready,
    builder: BrokerBuilder,
    names: AtomicU32,
}

#[derive(Clone, Debug)]
struct Ready {
    http: SocketAddr,
    workers: SocketAddr,
    admin: SocketAddr,
    id: String,
}

impl TestBroker {
    /// A broker with nothing but defaults.
    pub fn start() -> TestBroker {
        BrokerBuilder::default().start()
    }

    /// See [`BrokerBuilder::with_args`].
    pub fn with_args<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> BrokerBuilder {
        BrokerBuilder::default().with_args(args)
    }

    /// See [`BrokerBuilder::with_config`].
    pub fn with_config(toml: &str) -> BrokerBuilder {
        BrokerBuilder::default().with_config(toml)
    }

    /// See [`BrokerBuilder::with_env`].
    pub fn with_env(name: &str, value: &str) -> BrokerBuilder {
        BrokerBuilder::default().with_env(name, value)
    }

    /// Where callers come in.
    pub fn http(&self) -> SocketAddr {
        self.ready.http
    }

    /// Where workers come in.
    pub fn workers(&self) -> SocketAddr {
        self.ready.workers
    }

    /// Where people come in.
    pub fn admin(&self) -> SocketAddr {
        self.ready.admin
    }

    /// The broker's id.
    pub fn id(&self) -> &str {
        &self.ready.id
    }

    /// `http://…` in front of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http())
    }

    /// What a client takes as the broker's address.
    pub fn workers_url(&self) -> String {
        format!("hera://{}", self.workers())
    }

    /// The folder of its state.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A folder for the test's own files; gone with the broker.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    /// Runs another verb of the binary beside it, over its admin API.
    pub fn cli<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Verdict {
        let mut command = command();
        command.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        command.args(["--admin", &self.admin().to_string()]).arg("--data-dir").arg(self.data_dir());
        Verdict::of(&mut command)
    }

    /// The same on its files alone.
    pub fn cli_on_files<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Verdict {
        let mut command = command();
        command
            .args(args.into_iter().map(|arg| arg.as_ref().to_owned()))
            .arg("--data-dir")
            .arg(self.data_dir());
        Verdict::of(&mut command)
    }

    /// A fresh token that may call these, as `GET /0/**`; its text. It is known to the broker when this returns.
    pub fn token(&self, allow: &[&str]) -> String {
        let allow: Vec<&str> = allow.iter().flat_map(|scope| ["--allow", scope]).collect();
        self.token_with(&allow)
    }

    /// A fresh token made with these options of `hera token create`; its name is `token-N` unless they have one.
    pub fn token_with(&self, options: &[&str]) -> String {
        let name = format!("token-{}", self.names.fetch_add(1, Ordering::Relaxed));
        let named = options.contains(&"--name") || options.contains(&"--anonymous");
        let name: &[&str] = if named { &[] } else { &["--name", &name] };
        self.made(&[&["token", "create"], name, options].concat())
    }

    /// The worker key of service `name`, which may serve these prefixes, as `/0/x/**`; its text. Shared, so that tests may overlap.
    pub fn key(&self, name: &str, serve: &[&str]) -> String {
        let serve: Vec<&str> = serve.iter().flat_map(|prefix| ["--serve", prefix]).collect();
        self.made(&[&["key", "create", "--share", "--name", name], &serve[..]].concat())
    }

    /// The worker key of service `name`, which may serve these prefixes and call these scopes; its text.
    pub fn calling_key(&self, name: &str, serve: &[&str], call: &[&str]) -> String {
        let serve = serve.iter().flat_map(|prefix| ["--serve", prefix]);
        let call = call.iter().flat_map(|scope| ["--call", scope]);
        let options: Vec<&str> = serve.chain(call).collect();
        self.made(&[&["key", "create", "--share", "--name", name], &options[..]].concat())
    }

    fn made(&self, args: &[&str]) -> String {
        let verdict = self.cli(args.iter().copied());
        assert_eq!(verdict.code, 0, "{args:?}: {}", verdict.stderr);
        verdict.stdout.trim().to_owned()
    }

    /// A proven worker of a fresh key that serves `/**`, with these endpoints declared.
    pub fn worker(&self, name: &str, endpoints: &[&str]) -> RawWorker {
        let mut worker = RawWorker::join(self.workers(), &self.key(name, &["/**"]));
        worker.declare(endpoints);
        worker
    }

    /// A connection of a caller.
    pub fn caller(&self) -> HttpConnection {
        HttpConnection::open(self.http())
    }

    /// Sends a request on a connection of its own and waits for its answer.
    pub fn ask(&self, request: &Request) -> Response {
        let mut connection = self.caller();
        connection.send(&request.bytes());
        connection.response_to(request.method())
    }

    /// Sends a request to the admin API, with its token.
    pub fn ask_admin(&self, request: Request) -> Response {
        let token = std::fs::read_to_string(self.data_dir().join("admin.token")).unwrap();
        let request = request.header("Authorization", format!("Bearer {}", token.trim()));
        let mut connection = HttpConnection::open(self.admin());
        connection.send(&request.bytes());
        connection.response_to(request.method())
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        let response = self.ask_admin(Request::new("GET", "/metrics"));
        assert_eq!(response.status, 200);
        String::from_utf8(response.body).unwrap()
    }

    /// The sum of all series of a metric; 0 when there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        };
        self.metrics().lines().filter_map(value).sum()
    }

    /// Its log so far.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The first line of its log that is wanted, once it is there.
    pub fn wait_log(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.log.wait(what, wanted)
    }

    /// Resident memory.
    pub fn rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Tells it to drain and end.
    pub fn sigterm(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal, as `STOP`.
    pub fn signal(&self, name: &str) {
        signal(name, self.pid());
    }

    /// Ends it at once, as a machine would.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for its end and gives its exit code, -1 for a signal; at most 10 s.
    pub fn wait_exit(&self) -> i32 {
        self.wait_exit_within(PATIENCE)
    }

    /// The same with another bound.
    pub fn wait_exit_within(&self, limit: Duration) -> i32 {
        let mut status = None;
        wait_at_most(limit, "the broker's end", || {
            status = self.child.lock().unwrap().try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code()).unwrap_or(-1)
    }

    /// Kills it if it still runs, and starts it again with the same state at the same addresses.
    pub fn restart(&mut self) {
        if self.is_running() {
            self.kill();
        }
        let mut builder = std::mem::take(&mut self.builder);
        let fixed =
            [("--http", self.ready.http), ("--workers", self.ready.workers), ("--admin", self.ready.admin)];
        for (flag, address) in fixed {
            if !builder.args.iter().any(|arg| arg == flag) {
                builder.args.extend([flag.to_owned(), address.to_string()]);
            }
        }
        let (child, log, ready) = spawn(&mut builder.command(self.dir.path()));
        self.child = Mutex::new(child);
        (self.log, self.ready, self.builder) = (log, ready, builder);
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of broker {} ----\n{}", self.ready.id, self.log.lines().join("\n"));
        }
    }
}

/// Starts the process and reads its one line on stdout.
fn spawn(command: &mut Command) -> (Child, Log, Ready) {
    let mut child = command.spawn().unwrap();
    let log = Log::of(child.stderr.take().unwrap());
    let ready = ready(&mut child, &log);
    (child, log, ready)
}

fn ready(child: &mut Child, log: &Log) -> Ready {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let word =
        |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
    let address = |name: &str| word(name).and_then(|text| text.parse::<SocketAddr>().ok());
    match (address("http="), address("workers="), address("admin="), word("id=")) {
        (Some(http), Some(workers), Some(admin), Some(id)) => Ready { http, workers, admin, id },
        _ => {
            let status = child.wait().unwrap();
            panic!("the broker did not start ({status}):\n{}", log.lines().join("\n"));
        }
    }
}
