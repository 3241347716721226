//! Reading the configuration of a broker, and `hera config check|show`.

use hera_broker::config::Config;

use crate::args::{BrokerFlags, ShowConfig};
use crate::failure::Failure;
use crate::output;

/// Defaults, file, environment, flags; exit code 78 where they are wrong.
pub(crate) fn load(flags: BrokerFlags) -> Result<Config, Failure> {
    let file = flags.config.clone();
    // A name or value that is not UTF-8 cannot be a key of ours, or a value that we take; `vars` would panic on it.
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    });
    Ok(Config::load(file.as_deref(), environment, flags.into_flags())?)
}

pub(crate) fn check(flags: BrokerFlags) -> Result<(), Failure> {
    load(flags)?;
    output::result("ok")
}

pub(crate) fn show(args: ShowConfig) -> Result<(), Failure> {
    let config = load(args.flags)?;
    let line = |setting: hera_broker::config::Setting| {
        let line = match setting.value {
            Some(value) => format!("{} = {value}", setting.key),
            // A comment, so that the output stays a configuration.
            None => format!("# {} is not set", setting.key),
        };
        let origin = output::printable(&setting.origin.to_string());
        if args.origin { format!("{line}  # {origin}") } else { line }
    };
    let lines: Vec<String> = config.settings().into_iter().map(line).collect();
    output::result(&lines.join("\n"))
}
