//! A worker as a process of its own: `src/bin/worker.rs` or `workers/worker.mjs`, or any other program that serves.

use hera_testkit::wait_until;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The languages in which the same worker stands ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `src/bin/worker.rs`, on `crates/hera-client`.
    Rust,
    /// `workers/worker.mjs`, on `clients/node`.
    Node,
    /// `workers/Worker.java`, on `clients/java`.
    Java,
}

/// What a worker is told when it starts.
#[derive(Clone, Debug)]
pub struct Orders {
    /// `hera://host:port[,host:port]`.
    pub brokers: String,
    /// Its worker key.
    pub secret: String,
    /// Front of all its paths.
    pub prefix: String,
    /// Further environment: `GATE` and `RUNS` are files.
    pub environment: Vec<(&'static str, PathBuf)>,
}

/// A process; killed on drop, and its log printed when the test panics.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Mutex<Child>,
    name: String,
    log: Arc<Mutex<String>>,
}

impl WorkerProcess {
    /// Starts the worker of this language.
    pub fn start(language: Language, name: &str, orders: &Orders) -> WorkerProcess {
        WorkerProcess::spawn(&mut program(language), name, orders)
    }

    /// The same, on one core of the machine, so that its share of the CPU is that of one core in every language.
    pub fn start_on_core(core: usize, language: Language, name: &str, orders: &Orders) -> WorkerProcess {
        let inner = program(language);
        let mut pinned = Command::new("taskset");
        // Before other programs where that may be said: a core that is taken away is no worker's load. Without the right to, `nice` says so and goes on.
        pinned
            .args(["-c", &core.to_string(), "nice", "-n", "-10"])
            .arg(inner.get_program())
            .args(inner.get_args());
        WorkerProcess::spawn(&mut pinned, name, orders)
    }

    /// Starts any program as a worker; prefix and name are its last arguments.
    pub fn spawn(command: &mut Command, name: &str, orders: &Orders) -> WorkerProcess {
        command.arg(&orders.prefix).arg(name).env("HERA", &orders.brokers).env("SECRET", &orders.secret);
        command.envs(orders.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take(), &log);
        keep(child.stderr.take(), &log);
        WorkerProcess { child: Mutex::new(child), name: name.to_owned(), log }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// The name that it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it wrote so far, stdout and stderr.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks it to drain.
    pub fn sigterm(&self) {
        signal("TERM", self.pid());
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&self) {
        self.child().kill().expect("the process is ours");
        self.wait_exit();
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        self.child().try_wait().expect("the process is ours").is_none()
    }

    /// How it ended, once it did.
    pub fn wait_exit(&self) -> ExitStatus {
        let mut status = None;
        wait_until(&format!("the end of worker {}", self.name), || {
            status = self.child().try_wait().expect("the process is ours");
            status.is_some()
        });
        status.expect("the wait was for it")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // An error means that it ended before.
        let _ = self.child().kill();
        let _ = self.child().wait();
        if std::thread::panicking() {
            eprintln!("---- log of worker {} ----\n{}", self.name, self.log());
        }
    }
}

/// Sends a signal by name.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

/// The root of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the project")
}

fn program(language: Language) -> Command {
    match language {
        Language::Rust => Command::new(beside_test("hera-test-worker")),
        Language::Node => {
            let mut node = Command::new("node");
            node.arg(root().join("tests/workers/worker.mjs"));
            node
        }
        Language::Java => java("Worker"),
    }
}

/// A program of `tests/workers` on the Java client, which Maven has compiled.
pub fn java(class: &str) -> Command {
    let target = root().join("clients/java/target");
    let (classes, workers) = (target.join("classes"), target.join("test-classes"));
    let libraries = std::fs::read_to_string(target.join("runtime.classpath")).unwrap_or_default();
    let compiled = !libraries.is_empty() && workers.join(format!("{class}.class")).exists();
    assert!(compiled, "the Java workers are not compiled: mvn -f clients/java test-compile");
    let mut java = Command::new("java");
    java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    java.arg(format!("{}:{}:{}", classes.display(), workers.display(), libraries.trim()));
    java.arg(class);
    java
}

/// A program of this build: tests lie in `deps`, below the programs.
pub fn beside_test(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.parent().and_then(Path::parent).expect("a test lies two folders deep");
    folder.join(name)
}

fn keep(stream: Option<impl Read + Send + 'static>, log: &Arc<Mutex<String>>) {
    let (Some(stream), log) = (stream, log.clone()) else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}
