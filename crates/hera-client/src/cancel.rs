//! Whether a call was cancelled: noted once, and told to whoever asks.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Shared by a connection's calls and the tasks that one of them spawned.
#[derive(Default)]
pub(crate) struct Cancel {
    cancelled: AtomicBool,
    changed: Notify,
}

impl Cancel {
    /// Notes it.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Resolves when it is noted, or was.
    pub(crate) async fn cancelled(&self) {
        // Made before the look, so that what comes between the two wakes it.
        let changed = self.changed.notified();
        if !self.cancelled.load(Ordering::Acquire) {
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    #[tokio::test]
    async fn who_waits_and_who_asks_later_are_told() {
        let cancel = Cancel::default();
        let mut waiting = pin!(cancel.cancelled());
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await.is_pending());

        cancel.cancel();

        waiting.await;
        cancel.cancelled().await;
    }
}
