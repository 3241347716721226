//! Signals to processes that a test started.

use std::process::Command;

/// Sends a signal by name, as `STOP`; panics when the process is not there.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {pid}");
}
