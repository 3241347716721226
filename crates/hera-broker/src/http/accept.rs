//! The public door: one listener for each core, the same port for all (SO_REUSEPORT), so that no core waits for another.

use crate::core::Core;
use crate::http::connection::Connection;
use crate::{pipeline, tls};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;

const TLS_TIME: Duration = Duration::from_secs(5);
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// Accepts callers until the broker ends. Over the limit it waits: the kernel's queue holds them.
pub async fn run(core: Rc<Core>, listener: TcpListener) {
    loop {
        let shared = &core.shared;
        if shared.http_connections.load(Ordering::Relaxed) >= shared.config.http.connections_max {
            crate::clock::pause(FULL_PAUSE).await;
            continue;
        }
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly: a pause instead of a busy loop, and those that are open go on.
                tracing::warn!(%error, "a caller's connection could not be accepted");
                crate::clock::pause(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        shared.http_connections.fetch_add(1, Ordering::Relaxed);
        let core = core.clone();
        tokio::task::spawn_local(async move {
            let open = Open(core.clone());
            let accepting = tls::accept(core.shared.tls.as_ref(), stream);
            let accepted = match core.shared.tls {
                None => accepting.await.ok(),
                Some(_) => tokio::time::timeout(TLS_TIME, accepting).await.ok().and_then(Result::ok),
            };
            if let Some(stream) = accepted {
                let connection = Connection::new(&core, stream, peer.ip());
                let calls = connection.clone();
                connection.serve(|incoming| pipeline::run(core.clone(), calls.clone(), incoming)).await;
            }
            drop(open);
        });
    }
}

struct Open(Rc<Core>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.shared.http_connections.fetch_sub(1, Ordering::Relaxed);
    }
}
