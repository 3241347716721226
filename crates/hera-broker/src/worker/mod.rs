//! Workers, as the broker sees them, in the order in which they arrive: [`listener`] accepts, [`handshakes`] bounds the strangers, [`connection`] reads and
//! writes frames, [`session`] is what is known of one connection, [`roster`] holds all of them and builds the routing table.

pub mod connection;
pub mod declaration;
pub mod handshakes;
pub mod listener;
pub mod outbox;
pub mod own_calls;
pub mod roster;
pub mod session;
