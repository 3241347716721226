//! The workers' door: accepts on one core and deals the connections out, so that ten copies of a worker spread over all cores.

use crate::core::Core;
use crate::drain::PhaseName;
use crate::mail::Mail;
use std::rc::Rc;
use tokio::net::TcpListener;

/// Accepts workers until the broker ends.
pub async fn run(core: Rc<Core>, listener: TcpListener) {
    let mut turn = 0;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a worker's connection could not be accepted");
                crate::clock::pause(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        if core.shared.phase.name() != PhaseName::Serving {
            // Closed at once: the worker finds another broker, or dials this address again when a new one listens.
            continue;
        }
        let Ok(stream) = stream.into_std() else { continue };
        let inboxes = &core.shared.inboxes;
        turn = (turn + 1) % inboxes.len();
        let _ = inboxes[turn].send(Mail::Worker(stream, peer.ip()));
    }
}
