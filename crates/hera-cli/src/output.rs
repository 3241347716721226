//! Writing to the two streams. A reader that left (`hera token list | head -1`) is no failure of ours.

use std::io::Write;

use serde_json::Value;

use crate::failure::Failure;

/// Writes a line, or several, of the result to stdout.
pub(crate) fn result(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes bytes to stdout as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes JSON for programs to stdout.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    result(&format!("{value:#}"))
}

/// Tells a person something, on stderr. Nobody is left to tell where even that fails.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
}

/// Without control characters: a name that a worker chose must not move the cursor.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
