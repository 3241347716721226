//! The real curl.

use std::process::Command;

/// What curl got.
#[derive(Clone, Debug)]
pub struct Curl {
    /// Exit code of curl; 0 when it got an answer.
    pub exit: i32,
    /// The status of the last answer, 0 without one.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// What curl complained about.
    pub stderr: String,
}

impl Curl {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Runs curl with these arguments, silent and for at most 30 s; the body must go to stdout.
pub fn curl<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> Curl {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--write-out", "%{stderr}\n%{http_code}"]);
    command.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let (said, status) = stderr.rsplit_once('\n').unwrap_or(("", "0"));
    Curl {
        exit: output.status.code().unwrap_or(-1),
        status: status.parse().unwrap_or(0),
        body: output.stdout,
        stderr: said.to_owned(),
    }
}
