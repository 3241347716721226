//! `hera haproxy render --watch`: keeps a file true to the list of brokers, and has HAProxy read it again.
//!
//! Nothing of this is on the path of a call: HAProxy finds out by itself which broker is up. So it takes its time, and in doubt leaves
//! everything as it is.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hera_registry::Error;
use hera_registry::zookeeper::{Access, ZkRegistry};
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::kept::Kept;
use super::options::Options;
use super::{Listed, access, render};
use crate::args::RenderHaproxy;
use crate::failure::Failure;
use crate::output::tell;

/// The list is read so often even where nothing tells of a change: a broker that says something else of itself is no change of the list.
const LOOK: Duration = Duration::from_secs(5);
/// Between two reloads: each leaves a process behind until its calls are done.
const EVERY: Duration = Duration::from_secs(5);
/// Until ZooKeeper is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// `haproxy -c`, and the reload.
const COMMAND: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or SIGINT.
pub(super) fn run(args: &RenderHaproxy, options: Options) -> Result<(), Failure> {
    let url = args.registry.as_deref().unwrap_or_default();
    let access = access(url, args)?;
    let file = File::of(args);
    crate::target::block_on(async {
        let ended = |kind| {
            signal(kind).map_err(|error| Failure::new(format!("the system takes no signals: {error}")))
        };
        let (mut term, mut int) = (ended(SignalKind::terminate())?, ended(SignalKind::interrupt())?);
        let mut watch =
            Watch { options, kept: Kept::new(args.keep), file, reloaded: None, refused: None, away: false };
        tokio::select! {
            failure = watch.follow(access) => Err(failure),
            () = either(&mut term, &mut int) => {
                tell("hera: ends; the file stays as it is");
                Ok(())
            }
        }
    })?
}

async fn either(term: &mut Signal, int: &mut Signal) {
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
}

struct Watch {
    options: Options,
    kept: Kept,
    file: File,
    reloaded: Option<Instant>,
    /// What `haproxy -c` refused last: it is not tried again until there is something else.
    refused: Option<String>,
    /// Whether it was told that ZooKeeper is out of reach.
    away: bool,
}

impl Watch {
    /// Comes back only with what waiting does not mend.
    async fn follow(&mut self, access: Access) -> Failure {
        loop {
            let error = match ZkRegistry::connect(access.clone()).await {
                Ok(registry) => self.look(&registry).await,
                Err(error @ (Error::Unavailable { .. } | Error::Contended)) => error,
                Err(error) => return error.into(),
            };
            if !std::mem::replace(&mut self.away, true) {
                tell(&format!("hera: {error}; the file stays as it is"));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Looks at every change, until ZooKeeper is out of reach.
    async fn look(&mut self, registry: &ZkRegistry) -> Error {
        loop {
            match registry.list_brokers().await {
                Ok(nodes) => self.take(Listed::of_nodes(&nodes)).await,
                Err(error) => return error,
            }
            if std::mem::take(&mut self.away) {
                tell("hera: ZooKeeper is back");
            }
            if let Err(error) = registry.brokers_changed(LOOK).await {
                return error;
            }
        }
    }

    /// Brings the file up to date with a list.
    async fn take(&mut self, mut listed: Listed) {
        if listed.servers.is_empty() && self.file.is_there() {
            // All at once is more likely a fault than the wish of anybody; HAProxy sees for itself which brokers are up.
            return;
        }
        listed.servers = self.kept.with(listed.servers, Instant::now());
        if let Err(problem) = listed.check(&self.options) {
            return self.refuse(problem.to_string());
        }
        let text = render::render(&self.options, &listed.servers, &listed.skipped);
        if self.file.holds(&text) {
            return;
        }
        let wait = self.reloaded.map_or(Duration::ZERO, |at| EVERY.saturating_sub(at.elapsed()));
        if !wait.is_zero() {
            // What changes until then is seen afterwards.
            tokio::time::sleep(wait).await;
        }
        if let Err(problem) = self.file.replace(&text).await {
            return self.refuse(problem);
        }
        self.refused = None;
        self.reloaded = Some(Instant::now());
        let ids: Vec<&str> = listed.servers.iter().map(|server| server.id.as_str()).collect();
        match self.file.reload().await {
            Ok(()) => tell(&format!("hera: {} brokers in force: {}", ids.len(), ids.join(" "))),
            Err(problem) => {
                tell(&format!("hera: {} brokers written, and HAProxy was not reloaded: {problem}", ids.len()))
            }
        }
    }

    fn refuse(&mut self, problem: String) {
        if self.refused.as_ref() != Some(&problem) {
            tell(&format!("hera: {problem}; the file stays as it is"));
            self.refused = Some(problem);
        }
    }
}

/// The file, and who reads it.
struct File {
    path: PathBuf,
    reload: Reload,
}

enum Reload {
    /// For `sh`.
    Command(String),
    /// Holds the process id of HAProxy's master.
    PidFile(PathBuf),
}

impl File {
    fn of(args: &RenderHaproxy) -> File {
        let reload = match &args.pid_file {
            Some(path) => Reload::PidFile(path.clone()),
            None => Reload::Command(args.reload.clone().unwrap_or_default()),
        };
        File { path: args.output.clone().unwrap_or_default(), reload }
    }

    fn is_there(&self) -> bool {
        self.path.exists()
    }

    fn holds(&self, text: &str) -> bool {
        std::fs::read(&self.path).is_ok_and(|held| held == text.as_bytes())
    }

    /// All of it or nothing, and only what HAProxy would start with.
    async fn replace(&self, text: &str) -> Result<(), String> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let failed = |error: std::io::Error| format!("{} cannot be written: {error}", self.path.display());
        write(&new, text).map_err(failed)?;
        if let Some(haproxy) = haproxy() {
            let mut check = Command::new(haproxy);
            check.args(["-c", "-f"]).arg(&new);
            run_command(check)
                .await
                .map_err(|problem| format!("HAProxy refuses {}: {problem}", new.display()))?;
        }
        std::fs::rename(&new, &self.path).map_err(failed)
    }

    async fn reload(&self) -> Result<(), String> {
        let mut command = Command::new("sh");
        match &self.reload {
            Reload::Command(text) => command.args(["-c", text]),
            Reload::PidFile(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let pid = text.trim().parse::<u32>().ok().filter(|pid| *pid > 1);
                let pid = pid.ok_or_else(|| format!("{} holds no process id", path.display()))?;
                command.args(["-c", "kill -USR2 \"$0\"", &pid.to_string()])
            }
        };
        run_command(command).await
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Debian puts it where only root's `PATH` looks.
fn haproxy() -> Option<PathBuf> {
    let path = crate::target::variable("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("haproxy")).find(|file| file.is_file())
}

/// Runs to its end; a failure gives the last thing that it said.
async fn run_command(mut command: Command) -> Result<(), String> {
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    let output = tokio::time::timeout(COMMAND, command.output()).await;
    let output = output.map_err(|_| format!("no end after {} s", COMMAND.as_secs()))?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let alert = said.lines().find(|line| line.contains("[ALERT]")).or(said.lines().last());
    Err(format!("{} ({})", alert.unwrap_or("it said nothing").trim(), output.status))
}
