//! Why a verb failed, and the exit code that says so to a script.

use std::fmt;

use hera_broker::config::ConfigError;

/// A failure, told on stderr as one line.
#[derive(Debug)]
pub(crate) struct Failure {
    /// 1, 2 (usage) or 78 (configuration).
    pub(crate) exit_code: u8,
    text: String,
}

impl Failure {
    /// What was asked for could not be done.
    pub(crate) fn new(text: impl Into<String>) -> Failure {
        Failure { exit_code: 1, text: text.into() }
    }

    /// What was asked for can never be.
    pub(crate) fn usage(text: impl Into<String>) -> Failure {
        Failure { exit_code: 2, text: text.into() }
    }

    /// The configuration cannot be run with.
    pub(crate) fn configuration(text: impl Into<String>) -> Failure {
        Failure { exit_code: 78, text: text.into() }
    }

    /// The admin API's refusal; a value that can never be right is wrong usage.
    pub(crate) fn refused(code: &str, detail: &str) -> Failure {
        Failure { exit_code: if code.starts_with("bad_") { 2 } else { 1 }, text: detail.to_owned() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::configuration(error.to_string())
    }
}

impl From<hera_registry::Error> for Failure {
    fn from(error: hera_registry::Error) -> Failure {
        match error.code() {
            "no_cluster_key" | "wrong_cluster_key" | "not_initialised" | "open_acl" => {
                Failure::configuration(error.to_string())
            }
            code => Failure::refused(code, &error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
