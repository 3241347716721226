//! A worker at work: its links to all brokers, its drain, its end.

use crate::error::Error;
use crate::link::News;
use crate::links::{Links, Parts};
use crate::lock::lock;
use crate::options::Settings;
use crate::remote_call::{Bus, RemoteCall};
use crate::tls::Tls;
use crate::worker::{Phase, Worker};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// D4: what still runs then is given up.
const DRAIN: Duration = Duration::from_secs(30);

/// A connected worker. Dropping it stops the worker at once; [`Client::drain`] loses nothing.
pub struct Client {
    phase: watch::Sender<Phase>,
    worker: Arc<Worker>,
    closed: watch::Receiver<bool>,
    news: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
}

impl Client {
    /// Begins to dial all brokers.
    pub(crate) fn begin(settings: Settings, worker: Arc<Worker>) -> Result<Client, Error> {
        let tls = Tls::for_brokers(settings.brokers.need_tls(), settings.ca_file.as_deref())?.map(Arc::new);
        let (phase, watched) = watch::channel(Phase::Serving);
        let (over, closed) = watch::channel(false);
        let (news, heard) = mpsc::unbounded_channel();

        let monitored = Arc::clone(&worker);
        let links = Links::new(Parts { tls, worker: Arc::clone(&worker), phase: watched, news });
        tokio::spawn(async move {
            tokio::select! {
                () = links.run(settings.brokers) => {}
                () = monitored.monitor.tick() => {}
            }
            over.send_replace(true);
        });
        Ok(Client { phase, worker, closed, news: Mutex::new(Some(heard)) })
    }

    /// Begins a call to another service, outside of any request: `client.call("GET /0/users/42").await?`.
    ///
    /// Within a request, [`crate::Request::call`] takes along what is known of it.
    pub fn call(&self, endpoint: &str) -> RemoteCall {
        RemoteCall::new(Arc::clone(&self.worker), None, endpoint)
    }

    /// A handle for calls from other tasks.
    pub fn bus(&self) -> Bus {
        Bus::new(Arc::clone(&self.worker))
    }

    /// Waits for the first broker that accepts, or refuses.
    pub(crate) async fn first(&self) -> Result<(), Error> {
        // Taken: what comes after the first answer is for the log alone.
        let Some(mut news) = lock(&self.news).take() else { return Ok(()) };
        match news.recv().await {
            Some(News::Accepted) => Ok(()),
            Some(News::Refused(error)) => Err(error),
            None => Err(Error::Stopped),
        }
    }

    /// Resolves when the worker has left every broker, after a drain or a stop. Brokers that are away are no end: they are dialled again.
    pub async fn closed(&self) {
        let mut closed = self.closed.clone();
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Takes no new calls, finishes those in flight (30 s at most), says everything that is to be said, and leaves. A second drain waits for the first.
    pub async fn drain(&self) {
        self.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Draining;
            }
            serving
        });
        if tokio::time::timeout(DRAIN, self.closed()).await.is_err() {
            tracing::warn!("calls were still running after 30 s of drain; they are given up");
            self.stop();
            self.closed().await;
        }
    }

    /// Leaves at once; calls in flight are lost.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Stopped);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop();
    }
}
