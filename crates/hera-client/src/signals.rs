//! SIGTERM and SIGINT.

use crate::error::Error;

/// The signals that ask a process to end; without them it waits for ever.
pub(crate) struct Signals {
    #[cfg(unix)]
    watched: Option<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)>,
    #[cfg(not(unix))]
    watched: bool,
}

impl Signals {
    /// Watches from now on, when `wanted`.
    #[cfg(unix)]
    pub(crate) fn watch(wanted: bool) -> Result<Signals, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        if !wanted {
            return Ok(Signals { watched: None });
        }
        let term = signal(SignalKind::terminate()).map_err(Error::Signals)?;
        let int = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
        Ok(Signals { watched: Some((term, int)) })
    }

    /// Watches from now on, when `wanted`.
    #[cfg(not(unix))]
    pub(crate) fn watch(wanted: bool) -> Result<Signals, Error> {
        Ok(Signals { watched: wanted })
    }

    /// Resolves at the next signal.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some((term, int)) = &mut self.watched {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            return;
        }
        #[cfg(not(unix))]
        if self.watched && tokio::signal::ctrl_c().await.is_ok() {
            return;
        }
        std::future::pending().await
    }
}
