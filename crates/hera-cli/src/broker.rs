//! `hera broker`.

use std::io::IsTerminal;

use hera_broker::StartError;
use hera_broker::config::{Config, Level};
use tracing_subscriber::filter::LevelFilter;

use crate::args::BrokerFlags;
use crate::configuration;
use crate::failure::Failure;

/// Runs a broker until it is told to stop.
pub(crate) fn run(flags: BrokerFlags) -> Result<(), Failure> {
    let config = configuration::load(flags)?;
    log_to_stderr(&config);
    leave_no_core_file();
    hera_broker::run(config).map_err(|error| match error {
        // A certificate that cannot be read is not read the next time either: a supervisor need not try again.
        StartError::Tls(_) => Failure::configuration(error.to_string()),
        StartError::Registry(ref inner) if is_configuration(inner.code()) => {
            Failure::configuration(error.to_string())
        }
        _ => Failure::new(error.to_string()),
    })
}

/// A core file would hold the tokens of the calls under way. Who needs one all the same raises the limit of the process (`prlimit`).
fn leave_no_core_file() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum }) {
        tracing::warn!(%error, "a crash may leave a core file");
    }
}

/// What a second try would meet again: the wrong key, the wrong place, a name that another broker has.
fn is_configuration(code: &str) -> bool {
    matches!(
        code,
        "no_copy"
            | "no_cluster_key"
            | "not_initialised"
            | "wrong_cluster_key"
            | "open_acl"
            | "id_taken"
            | "bad_url"
            | "wrong_mode"
            | "corrupt"
    )
}

/// stdout has the line `ready …` alone. Text for a person at a terminal, JSON lines for everything else.
fn log_to_stderr(config: &Config) {
    let level = match config.log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_target(false);
    if std::io::stderr().is_terminal() {
        log.with_ansi(std::env::var_os("NO_COLOR").is_none()).init();
    } else {
        log.json().flatten_event(true).init();
    }
}
