//! What a process says on stderr, line by line.

use crate::wait::PATIENCE;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The lines so far; a thread adds to them until the process ends.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Log {
    /// Gathers what `stream` brings.
    pub fn of(stream: impl Read + Send + 'static) -> Log {
        let log = Log::default();
        let gathered = log.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                let (lines, more) = &*gathered.lines;
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                more.notify_all();
                line.clear();
            }
        });
        log
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lines so far that are wanted.
    pub fn matching(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.lines().into_iter().filter(|line| wanted(line)).collect()
    }

    /// The first line that is wanted, once it is there; panics after 10 s.
    pub fn wait(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let (lines, more) = &*self.lines;
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |lines: &mut Vec<String>| !lines.iter().any(|line| wanted(line));
        let (lines, _) = more.wait_timeout_while(lines, PATIENCE, missing).unwrap();
        let found = lines.iter().find(|line| wanted(line)).cloned();
        drop(lines);
        found.unwrap_or_else(|| panic!("no log line came: {what}"))
    }
}
