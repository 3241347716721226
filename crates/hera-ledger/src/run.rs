//! A run as its worker noted it: one line of a file, written before the handler begins.

use crate::call::Method;
use crate::nonce::Nonce;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const LINE_MAX: usize = 256;

/// That a handler began on a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The call.
    pub nonce: Nonce,
    /// How the worker was called.
    pub method: Method,
    /// When, in microseconds since 1970.
    pub at_us: u64,
    /// Which worker process.
    pub worker: Box<str>,
}

impl Run {
    /// `NONCE METHOD MICROSECONDS WORKER`.
    pub fn parse(line: &str) -> Option<Run> {
        let mut words = line.split(' ');
        let nonce = Nonce::parse(words.next()?)?;
        let method = words.next()?;
        let method = Method::ALL.into_iter().find(|known| known.as_str() == method)?;
        let run = Run { nonce, method, at_us: words.next()?.parse().ok()?, worker: words.next()?.into() };
        words.next().is_none().then_some(run)
    }
}

/// Microseconds since 1970. Only the clock of the machine is the same in callers and workers.
pub fn now_us() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
}

/// The file of one worker process.
#[derive(Debug)]
pub struct RunLog {
    file: File,
    worker: String,
}

impl RunLog {
    /// Opens `runs-WORKER.log` in this folder to be added to.
    pub fn open(dir: &Path, worker: &str) -> io::Result<RunLog> {
        let path = dir.join(format!("runs-{worker}.log"));
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(RunLog { file, worker: worker.to_owned() })
    }

    /// Notes a run. One write of a whole line to a file that is only added to: a process that is killed leaves all of the line or none.
    pub fn note(&self, nonce: &str, method: &str) -> io::Result<()> {
        let line = format!("{nonce} {method} {} {}\n", now_us(), self.worker);
        let written = (&self.file).write(line.as_bytes())?;
        if written == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// All run files of a folder, read as they grow.
#[derive(Debug)]
pub struct RunFiles {
    dir: PathBuf,
    read: HashMap<PathBuf, u64>,
}

impl RunFiles {
    /// Those of this folder.
    pub fn new(dir: impl Into<PathBuf>) -> RunFiles {
        RunFiles { dir: dir.into(), read: HashMap::new() }
    }

    /// Runs noted since the last time; a line that is not whole yet waits for the next. Errs on a line that cannot be read: the judge
    /// must not be silent about what it cannot see.
    pub fn more(&mut self) -> io::Result<Vec<Run>> {
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with("runs-") && name.ends_with(".log") {
                let from = self.read.entry(path.clone()).or_default();
                *from += read_from(&path, *from, &mut runs)?;
            }
        }
        Ok(runs)
    }
}

/// Reads the whole lines from this byte on; gives how many bytes they are.
fn read_from(path: &Path, from: u64, runs: &mut Vec<Run>) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    for line in text[..whole].lines() {
        let run = Some(line).filter(|line| line.len() <= LINE_MAX).and_then(Run::parse);
        let run = run.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {line:?} is no run", path.display()))
        })?;
        runs.push(run);
    }
    Ok(whole as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_as_the_files_grow() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = RunFiles::new(dir.path());
        let (a, b) = (RunLog::open(dir.path(), "a").unwrap(), RunLog::open(dir.path(), "b").unwrap());

        a.note(&Nonce(1).to_string(), "GET").unwrap();
        assert_eq!(files.more().unwrap().len(), 1);
        b.note(&Nonce(2).to_string(), "POST").unwrap();
        let more = files.more().unwrap();

        assert_eq!((more[0].nonce, more[0].method, &*more[0].worker), (Nonce(2), Method::Post, "b"));
        assert!(files.more().unwrap().is_empty());
    }

    #[test]
    fn line_that_is_not_whole_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs-a.log");
        let line = format!("{} GET 5 a\n", Nonce(1));
        let mut files = RunFiles::new(dir.path());

        std::fs::write(&path, &line[..20]).unwrap();
        assert!(files.more().unwrap().is_empty());
        std::fs::write(&path, &line).unwrap();
        assert_eq!(files.more().unwrap().len(), 1);
    }

    #[test]
    fn line_that_is_no_run_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for line in
            ["", "n_12 GET 5 a", &format!("{} HEAD 5 a", Nonce(1)), &format!("{} GET 5 a b", Nonce(1))]
        {
            std::fs::write(dir.path().join("runs-a.log"), format!("{line}\n")).unwrap();
            assert!(RunFiles::new(dir.path()).more().is_err(), "{line}");
        }
    }
}
