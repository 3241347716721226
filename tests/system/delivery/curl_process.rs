//! curl as a process that a test can watch, slow down and kill.

use crate::stage::Stage;
use aws_lc_rs::digest::{Context, SHA256};
use hera_testkit::wait_until;
use hera_tests::pattern;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A curl under way; killed on drop.
pub(crate) struct CurlProcess {
    child: Child,
    bytes: Arc<AtomicU64>,
    hash: Option<JoinHandle<(String, Vec<u8>)>>,
}

/// What a whole curl got.
#[derive(Debug)]
pub(crate) struct Got {
    /// Exit code of curl; -1 for a signal.
    pub(crate) exit: i32,
    pub(crate) bytes: u64,
    pub sha256: String,
    /// The first 4 KiB.
    pub(crate) beginning: String,
}

impl CurlProcess {
    /// Starts `curl ARGS URL` with the stage's token.
    pub(crate) fn start(stage: &Stage, path: &str, request_id: &str, args: &[&str]) -> CurlProcess {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-H", &format!("Hera-Token: {}", stage.token)]);
        curl.args(["-H", &format!("X-Request-Id: {request_id}")]).args(args).arg(stage.broker.url(path));
        let mut child =
            curl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let bytes = Arc::new(AtomicU64::new(0));
        let (mut stdout, counted) = (child.stdout.take().unwrap(), bytes.clone());
        let hash = std::thread::spawn(move || {
            let (mut hash, mut beginning, mut piece) = (Context::new(&SHA256), Vec::new(), vec![0; 65_536]);
            while let Some(read) = stdout.read(&mut piece).ok().filter(|read| *read > 0) {
                hash.update(&piece[..read]);
                let room = 4096_usize.saturating_sub(beginning.len()).min(read);
                beginning.extend_from_slice(&piece[..room]);
                counted.fetch_add(read as u64, Ordering::Relaxed);
            }
            (pattern::hex(hash), beginning)
        });
        CurlProcess { child, bytes, hash: Some(hash) }
    }

    /// Bytes of the answer's body so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until some of the answer's body is here.
    pub(crate) fn wait_bytes(&self) {
        wait_until("the first bytes of a body", || self.bytes() > 0);
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it at once, as a caller that leaves.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; its own `--max-time` bounds that.
    pub(crate) fn finish(mut self) -> Got {
        let exit = self.child.wait().unwrap().code().unwrap_or(-1);
        let (sha256, beginning) = self.hash.take().unwrap().join().unwrap();
        let beginning = String::from_utf8_lossy(&beginning).into_owned();
        Got { exit, bytes: self.bytes(), sha256, beginning }
    }
}

impl Drop for CurlProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
