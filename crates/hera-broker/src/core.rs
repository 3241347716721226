//! A core: one thread with one current-thread runtime that shares nothing with the others but what is listed in [`Shared`].

use crate::access::Access;
use crate::access_log::LogBuffer;
use crate::alarm::Alarms;
use crate::clock::WallClock;
use crate::config::Config;
use crate::drain::Phase;
use crate::exchange::Exchange;
use crate::mail::{CallAddr, Failure, Mail, SessionAddr};
use crate::metrics::BrokerCounters;
use crate::moment::Moment;
use crate::published::{Published, Reader};
use crate::pulse::Pulse;
use crate::slots::{SlotKey, Slots};
use crate::spare::Spare;
use crate::worker::handshakes::Handshakes;
use crate::worker::roster::{Roster, RoutingTable};
use crate::worker::session::Session;
use hera_balance::picker::Rng;
use hera_protocol::Code;
use hera_protocol::proof::Signer;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::sync::mpsc;

/// What all cores of a broker see. Everything here is read without a lock on the path of a call, but counters.
#[derive(Debug)]
pub struct Shared {
    /// Typed and checked.
    pub config: Config,
    /// This broker's id.
    pub id: String,
    /// What proves that it belongs to the cluster.
    pub identity: Signer,
    /// Tokens and worker keys.
    pub access: Published<Access>,
    /// Where they come from.
    pub registry: crate::registry_link::RegistryLink,
    /// Routes, for reading.
    pub table: Published<RoutingTable>,
    /// Routes, for changing.
    pub roster: Roster,
    /// Strangers at the workers' door.
    pub handshakes: Handshakes,
    /// Serving or draining.
    pub phase: Phase,
    /// Calls accepted and not answered yet.
    pub calls_in_flight: AtomicUsize,
    /// Bytes of request bodies that are held.
    pub body_bytes: AtomicUsize,
    /// Callers' connections.
    pub http_connections: AtomicUsize,
    /// Workers' connections, proven or not.
    pub worker_connections: AtomicUsize,
    /// Numbers of the broker, one block for each core.
    pub counters: Vec<BrokerCounters>,
    /// Zero of the balance's clock and of the alarms.
    pub start: Moment,
    /// Inboxes of the cores.
    pub inboxes: Vec<mpsc::UnboundedSender<Mail>>,
    /// TLS of the public and the worker listener, and the hash of its leaf.
    pub tls: Option<crate::tls::Tls>,
}

impl Shared {
    /// Milliseconds since the start: the clock of the balance.
    pub fn now_ms(&self, now: Moment) -> u32 {
        now.since(self.start).as_millis() as u32
    }

    /// Tells every core to look at everything again.
    pub fn review(&self) {
        self.tell_cores(|| Mail::Review);
    }

    /// Sends a letter to every core; a core that ended needs none.
    pub fn tell_cores(&self, letter: impl Fn() -> Mail) {
        for inbox in &self.inboxes {
            let _ = inbox.send(letter());
        }
    }
}

/// What one core holds; never leaves its thread.
#[derive(Debug)]
pub struct Core {
    /// Its number.
    pub id: usize,
    /// What it shares.
    pub shared: Arc<Shared>,
    /// Its time limits.
    pub alarms: Rc<Alarms>,
    /// Whether it was frozen a moment ago.
    pub pulse: Pulse,
    /// What time it is elsewhere.
    pub wall: WallClock,
    /// Its dice.
    pub rng: RefCell<Rng>,
    /// Its part of the access log.
    pub log: LogBuffer,
    /// The line `date` of answers, renewed by the tick.
    pub date_line: RefCell<String>,
    /// Buffers that go from one connection to the next.
    pub spare: Spare,
    table: Reader<RoutingTable>,
    access: Reader<Access>,
    exchanges: RefCell<Slots<Rc<Exchange>>>,
    sessions: RefCell<Slots<Rc<Session>>>,
    stopping: Cell<bool>,
}

impl Core {
    /// Core number `id`.
    pub fn new(id: usize, shared: Arc<Shared>, log: LogBuffer, seed: u64) -> Rc<Core> {
        Rc::new(Core {
            id,
            alarms: Alarms::new(shared.start),
            pulse: Pulse::new(Moment::now()),
            wall: WallClock::new(Moment::now()),
            rng: RefCell::new(Rng::new(seed)),
            log,
            date_line: RefCell::new(crate::clock::date_line()),
            spare: Spare::default(),
            table: Reader::new(&shared.table),
            access: Reader::new(&shared.access),
            exchanges: RefCell::default(),
            sessions: RefCell::default(),
            stopping: Cell::new(false),
            shared,
        })
    }

    /// The routes as they are now.
    pub fn table(&self) -> Rc<Arc<RoutingTable>> {
        self.table.get(&self.shared.table)
    }

    /// Tokens and keys as they are now.
    pub fn access(&self) -> Rc<Arc<Access>> {
        self.access.get(&self.shared.access)
    }

    /// This core's counters.
    pub fn counters(&self) -> &BrokerCounters {
        &self.shared.counters[self.id]
    }

    /// Gives an exchange an address.
    pub fn add_exchange(&self, make: impl FnOnce(SlotKey) -> Exchange) -> Rc<Exchange> {
        self.exchanges.borrow_mut().insert_with(|key| Rc::new(make(key))).clone()
    }

    /// The connection is gone.
    pub fn remove_exchange(&self, key: SlotKey) {
        self.exchanges.borrow_mut().remove(key);
    }

    /// Gives a session an address.
    pub fn add_session(&self, make: impl FnOnce(SessionAddr) -> Rc<Session>) -> Rc<Session> {
        // Two steps, since a session knows its own address: the place is taken first.
        let mut sessions = self.sessions.borrow_mut();
        let session = sessions.insert_with(|key| make(SessionAddr { core: self.id, key }));
        session.clone()
    }

    /// The worker is gone.
    pub fn remove_session(&self, addr: SessionAddr) {
        self.sessions.borrow_mut().remove(addr.key);
    }

    /// The sessions of this core.
    pub fn sessions(&self) -> Vec<Rc<Session>> {
        self.sessions.borrow().iter().cloned().collect()
    }

    /// A session of this core.
    pub fn session(&self, addr: SessionAddr) -> Option<Rc<Session>> {
        self.sessions.borrow().get(addr.key).filter(|_| addr.core == self.id).cloned()
    }

    /// Posts a letter: delivered at once on this core, through the inbox on another.
    pub fn post(self: &Rc<Core>, mail: Mail) {
        let core = match &mail {
            Mail::Session(addr, _) => addr.core,
            Mail::Call(addr, _) => addr.core,
            Mail::Worker(..) | Mail::Review | Mail::Stop => self.id,
        };
        if core == self.id {
            self.deliver(mail);
        } else if let Some(inbox) = self.shared.inboxes.get(core) {
            // An inbox closes when its core ended, and then nobody waits there.
            let _ = inbox.send(mail);
        }
    }

    /// Takes a letter for this core.
    pub fn deliver(self: &Rc<Core>, mail: Mail) {
        match mail {
            Mail::Session(addr, letter) => match self.session(addr) {
                Some(session) => session.take(self, letter),
                None => Session::refuse(self, letter),
            },
            Mail::Call(addr, event) => {
                let exchange = self.exchanges.borrow().get(addr.key).cloned();
                if let Some(exchange) = exchange {
                    exchange.deliver(addr, event);
                }
            }
            Mail::Worker(stream, peer) => crate::worker::connection::spawn(self, stream, peer),
            Mail::Stop => self.stop(),
            Mail::Review => {
                for session in self.sessions() {
                    session.review(self);
                }
            }
        }
    }

    /// An address for the answer to this attempt.
    pub fn call_addr(&self, key: SlotKey, attempt: u64) -> CallAddr {
        CallAddr { core: self.id, key, attempt }
    }

    /// The drain is over: calls that still run are answered, connections close.
    pub fn stop(&self) {
        self.stopping.set(true);
        for exchange in self.exchanges.borrow().iter() {
            exchange.fail(Failure { code: Code::DrainTimeout, not_started: false });
        }
        for session in self.sessions() {
            session.wake();
        }
    }

    /// Whether nothing is left: no call to answer, no session to take leave of.
    pub fn is_quiet(&self) -> bool {
        self.shared.calls_in_flight.load(std::sync::atomic::Ordering::Relaxed) == 0
            && self.sessions.borrow().is_empty()
    }

    /// Whether connections are to close.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }
}
