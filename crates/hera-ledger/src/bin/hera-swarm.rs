//! Makes load on a cluster and judges what came of it, second by second.
//!
//! `TOKEN=… hera-swarm http://127.0.0.1:8080 --runs DIR` calls the workers that `hera-ledger-worker` and `tests/workers/ledger.mjs` are, which note
//! their runs in DIR; several swarms may share it. Exit codes: 0 the ledger is clean, 1 it is not, 2 wrong usage.

use clap::Parser;
use hera_ledger::run::now_us;
use hera_ledger::{Ledger, Pace, Plan, Run, RunFiles, Swarm, Terms, Verdict};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// A run is noted before its call ends; this is for what a killed or frozen worker leaves.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// A run without a call belongs to one that is under way, for its deadline and the caller's patience at most.
const UNCALLED_AFTER: Duration = Duration::from_secs(330);

/// Makes load and judges what came of it.
#[derive(Parser)]
#[command(name = "hera-swarm", version)]
struct Arguments {
    /// Where to call: http://HOST:PORT
    url: String,
    /// Folder in which the workers note their runs
    #[arg(long, value_name = "DIR")]
    runs: PathBuf,
    /// File with the token; without it the environment's TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Front of the workers' paths
    #[arg(long, default_value = "/0/ledger")]
    prefix: String,
    /// Keep-alive connections, each with one call at once
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Calls in a second, whether or not the last were answered; without it each connection calls as soon as it was answered
    #[arg(long, value_name = "CALLS")]
    rate: Option<f64>,
    /// Seconds until it ends; without it, when it is interrupted
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Calls until it ends
    #[arg(long)]
    calls: Option<u64>,
    /// Repeats the calls of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Answers may break off after they began: where workers and brokers are killed, a stream goes with them
    #[arg(long)]
    cut_answers: bool,
    /// Any answer but 2xx is a fault as well
    #[arg(long)]
    strict: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let strict = arguments.strict;
    match run(arguments).await {
        Ok(verdict) => {
            say(&verdict.to_string());
            let held = verdict.is_clean() && !(strict && verdict.failures() > 0);
            say(if held { "the ledger is clean\n" } else { "the ledger is NOT clean\n" });
            ExitCode::from(u8::from(!held))
        }
        Err(problem) => {
            eprintln!("hera-swarm: {problem}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> Result<Verdict, String> {
    let mut terms = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut plan = Plan::new(address(&arguments.url)?, token(&arguments)?, &arguments.prefix);
    plan.connections = arguments.connections;
    plan.pace = arguments.rate.map_or(Pace::Closed, Pace::Open);
    plan.calls = arguments.calls;
    plan.seed = arguments.seed.unwrap_or(plan.seed);
    let mut files = RunFiles::new(&arguments.runs);
    let owner = plan.clone();
    // Other swarms have runs there, too.
    let mut own_runs = move || -> Result<Vec<Run>, String> {
        let runs = files.more().map_err(|error| error.to_string())?;
        Ok(runs.into_iter().filter(|run| owner.owns(run.nonce)).collect())
    };
    // With a given seed, what ran before this began belongs to an earlier one.
    own_runs()?;

    let mut ledger = Ledger::new(Terms { cut_answers: arguments.cut_answers, ..Terms::PROMISES });
    let (swarm, begun) = (Swarm::start(plan), Instant::now());
    let until = arguments.seconds.map(|seconds| begun + Duration::from_secs(seconds));
    let mut before = 0;
    while !swarm.is_done() && until.is_none_or(|until| Instant::now() < until) {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            _ = terms.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
        }
        let calls = swarm.ended();
        // Calls first: a run is noted before its call ends, so every call here finds its runs.
        ledger.calls(swarm.take());
        ledger.runs(own_runs()?);
        let now = now_us();
        ledger.settle(now.saturating_sub(us(SETTLED_AFTER)), now.saturating_sub(us(UNCALLED_AFTER)));
        say(&line(begun.elapsed(), calls, calls - before, swarm.in_flight(), ledger.verdict()));
        before = calls;
    }
    swarm.stop();
    ledger.calls(swarm.finish());
    ledger.runs(own_runs()?);
    Ok(ledger.close())
}

/// `  12 s  34567 calls  2881/s  16 in flight  p99 12ms  worst 40ms  broken 0  failures 3: 502 maybe worker_lost by broker 3`
fn line(elapsed: Duration, calls: u64, rate: u64, in_flight: u64, verdict: &Verdict) -> String {
    let failures: Vec<String> =
        verdict.failures_by_label().iter().map(|(label, count)| format!("{label} {count}")).collect();
    let broken: Vec<String> =
        verdict.broken().map(|(broken, count)| format!("{} {count}", broken.text())).collect();
    let list =
        |items: &[String]| if items.is_empty() { String::new() } else { format!(": {}", items.join(", ")) };
    format!(
        "{:>5} s {calls:>8} calls {rate:>6}/s {in_flight:>4} in flight  p99 {:?}  worst {:?}  broken {}{}  failures {}{}\n",
        elapsed.as_secs(),
        verdict.took(0.99),
        verdict.worst(|_| true),
        verdict.broken().map(|(_, count)| count).sum::<u64>(),
        list(&broken),
        verdict.failures(),
        list(&failures),
    )
}

fn address(url: &str) -> Result<SocketAddr, String> {
    let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let host = host.ok_or_else(|| format!("url {url:?} is not http://HOST:PORT"))?;
    let found = host.to_socket_addrs().map_err(|error| format!("url {url:?}: {error}"))?.next();
    found.ok_or_else(|| format!("url {url:?} names nobody"))
}

fn token(arguments: &Arguments) -> Result<String, String> {
    let text = match &arguments.token_file {
        Some(file) => {
            std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?
        }
        None => std::env::var("TOKEN").map_err(|_| "no token: set TOKEN or --token-file".to_owned())?,
    };
    Ok(text.trim().to_owned())
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A reader that went away is no reason to stop judging.
fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
