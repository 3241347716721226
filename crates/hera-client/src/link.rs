//! One broker address for the life of the worker: dial, serve, dial again.

use crate::connection::Connection;
use crate::error::Error;
use crate::handshake::Failed;
use crate::options::Address;
use crate::reader::Ending;
use crate::tls::Tls;
use crate::worker::{Phase, Worker};
use hera_registry::backoff::{self, Backoff};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// After a refusal somebody has to change a key or a pattern first.
const REFUSED_AGAIN: Duration = Duration::from_secs(30);

/// What a link tells whoever waits for the first broker.
#[derive(Debug)]
pub(crate) enum News {
    /// A broker accepted the declaration.
    Accepted,
    /// A broker refused the key or the declaration.
    Refused(Error),
}

/// One broker address.
pub(crate) struct Link {
    pub(crate) address: Address,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) phase: watch::Receiver<Phase>,
    /// Whether the broker is still in the list; if not, a connection that lives is kept and no new one is dialled.
    pub(crate) wanted: watch::Receiver<bool>,
    pub(crate) news: mpsc::UnboundedSender<News>,
}

/// What the log was told last; the same again is not worth a line.
#[derive(PartialEq, Eq)]
enum Known {
    Nothing,
    Served,
    Away,
    Refused,
}

impl Link {
    /// Keeps a session with this broker until the worker leaves, or the broker is gone from the list and from the line.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut known = Known::Nothing;
        while *self.phase.borrow_and_update() == Phase::Serving && *self.wanted.borrow_and_update() {
            let dialled = tokio::select! {
                dialled = Connection::dial(&self.address, self.tls.as_deref(), &self.worker) => dialled,
                () = leaving(&mut self.phase) => return,
                () = unwanted(&mut self.wanted) => return,
            };
            let ending = match dialled {
                Ok(connection) => {
                    let began = Instant::now();
                    let ending = self.serve(connection, &mut known).await;
                    backoff.reset_after(began.elapsed());
                    ending
                }
                Err(Failed::Left(reason)) => Ending::Lost(reason),
                Err(Failed::Refused(refused)) => Ending::Refused(refused),
            };
            let Some(wait) = self.judge(ending, &mut known, &mut backoff) else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = leaving(&mut self.phase) => return,
                () = unwanted(&mut self.wanted) => return,
            }
        }
    }

    async fn serve(&self, connection: Connection, known: &mut Known) -> Ending {
        let (broker, service) =
            (connection.established.broker.clone(), connection.established.service.clone());
        let accepted = |endpoints| {
            *known = Known::Served;
            tracing::info!(address = %self.address, %broker, %service, endpoints, "broker serves this worker");
            // Nobody listens once the first broker accepted.
            let _ = self.news.send(News::Accepted);
        };
        connection.run(&self.worker, self.phase.clone(), accepted).await
    }

    /// Logs what changed, tells what has to be told, and gives the wait before the next try.
    fn judge(&self, ending: Ending, known: &mut Known, backoff: &mut Backoff) -> Option<Duration> {
        let address = &self.address;
        let refused = match ending {
            Ending::Drained | Ending::Stopped => {
                tracing::info!(%address, drained = ending == Ending::Drained, "worker left broker");
                return None;
            }
            Ending::Lost(reason) => return Some(self.away(&reason, known, backoff)),
            Ending::Silent => return Some(self.away("no frame for 8 s", known, backoff)),
            Ending::Fault(code, reason) => {
                return Some(self.away(
                    &format!("the broker broke the protocol: {code}: {reason}"),
                    known,
                    backoff,
                ));
            }
            Ending::Refused(refused) => Error::Refused {
                broker: address.to_string(),
                code: refused.code.as_str().to_owned(),
                message: refused.reason,
            },
            Ending::DeclarationRefused(endpoints) => {
                Error::DeclarationRefused { broker: address.to_string(), endpoints }
            }
        };
        if *known != Known::Refused {
            *known = Known::Refused;
            tracing::error!(%address, error = %refused, "broker refuses this worker; tried again every 30 s");
        }
        let _ = self.news.send(News::Refused(refused));
        Some(REFUSED_AGAIN)
    }

    fn away(&self, reason: &str, known: &mut Known, backoff: &mut Backoff) -> Duration {
        if *known != Known::Away {
            *known = Known::Away;
            tracing::warn!(address = %self.address, %reason, "broker is away; dialled again until it is back");
        }
        backoff.next(backoff::share())
    }
}

/// Resolves when the worker no longer serves.
async fn leaving(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase != Phase::Serving).await;
}

/// Resolves when the broker is no longer in the list.
async fn unwanted(wanted: &mut watch::Receiver<bool>) {
    let _ = wanted.wait_for(|wanted| !wanted).await;
}
