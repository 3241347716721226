//! A worker that answers in the background.

use crate::raw_worker::{Call, RawWorker};
use serde_json::json;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// What a handler gives.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// At most what fits an attachment.
    pub body: Vec<u8>,
}

impl Reply {
    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// Another status.
    pub fn status(mut self, status: u16) -> Reply {
        self.status = status;
        self
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A worker in a thread; its connection ends when this is dropped.
#[derive(Debug)]
pub struct Serving {
    stream: TcpStream,
    calls: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    pub(crate) fn start(
        mut worker: RawWorker,
        mut handler: impl FnMut(&Call) -> Reply + Send + 'static,
    ) -> Serving {
        let stream = worker.stream().try_clone().unwrap();
        // A worker that nobody calls waits as long as its test runs.
        worker.patience(None);
        let calls = Arc::new(AtomicU64::new(0));
        let counted = calls.clone();
        let thread = std::thread::spawn(move || {
            while let Some(call) = worker.try_call() {
                counted.fetch_add(1, Ordering::Relaxed);
                let reply = handler(&call);
                let result = json!({"status": reply.status, "headers": reply.headers});
                let head = json!({"jsonrpc": "2.0", "id": call.id, "result": result});
                worker.try_send(&crate::frame_bytes(head.to_string().as_bytes(), &reply.body));
            }
        });
        Serving { stream, calls, thread: Some(thread) }
    }

    /// Calls that came so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
