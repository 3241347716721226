//! A server in a broker's place that does as it is told by the path: what no broker does, at the moment that a test needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Always ready; `/die` takes the call and closes, `/hang` takes it and says nothing, `/425` has no worker, all else is 200.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
}

impl Stub {
    pub(crate) fn start() -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stub =
            Stub { address: listener.local_addr().unwrap(), calls: Arc::default(), stopped: Arc::default() };
        let (calls, stopped) = (stub.calls.clone(), stub.stopped.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let calls = calls.clone();
                std::thread::spawn(move || serve(stream, &calls));
            }
        });
        stub
    }

    /// The heads that it got, but those of checks.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

/// Ends with its connection.
fn serve(stream: TcpStream, calls: &Mutex<Vec<String>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            (stream.read_line(&mut head).ok()? > 0).then_some(())?;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).ok()?;
        let target = head.split(' ').nth(1)?.to_owned();
        if target != "/-/ready" {
            calls.lock().unwrap().push(head.clone());
        }
        match target.as_str() {
            "/die" => return None,
            "/hang" => {
                // Until the other side leaves.
                let _ = stream.read(&mut [0]);
                return None;
            }
            _ => {}
        }
        let status = if target == "/425" { 425 } else { 200 };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nhera-broker: stub\r\n\r\n");
        let body = if head.starts_with("HEAD") { "" } else { "ok" };
        stream.get_mut().write_all(format!("{answer}{body}").as_bytes()).ok()?;
    }
}
