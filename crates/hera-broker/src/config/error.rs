//! Where a value comes from, and what is wrong with one.

use std::fmt;
use std::path::{Path, PathBuf};

/// The place that set a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file, from 1; none where the fault is the file's own.
    File(PathBuf, Option<usize>),
    /// A variable of the environment.
    Environment(String),
    /// A flag, as `--http`.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Origin::File(path, None) => write!(f, "{}", path.display()),
            Origin::Environment(name) => f.write_str(name),
            Origin::Flag(name) => f.write_str(name),
        }
    }
}

/// A fault in the configuration; shown as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The place.
    pub origin: Origin,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl ConfigError {
    /// The file, where the fault is in one.
    pub fn file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File(path, _) => Some(path),
            _ => None,
        }
    }

    /// The line in the file, from 1.
    pub fn line(&self) -> Option<usize> {
        match &self.origin {
            Origin::File(_, line) => *line,
            _ => None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values come from outside: a newline or an escape sequence in one must not make a second line or a colour.
        let line = format!("{}: {}", self.origin, self.message);
        line.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

impl std::error::Error for ConfigError {}
