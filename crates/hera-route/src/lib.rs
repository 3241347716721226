//! Canonical paths, endpoint patterns, scopes and the routing table of Hera, as values: no I/O, no clock, no task.
//!
//! A path is made canonical once ([`path::canonical`]); scope, route and worker then see the same string, so that no two of them
//! can read it differently. Everything here takes canonical paths and says so.

mod builder;
pub mod path;
pub mod pattern;
pub mod scope;
pub mod table;

pub use path::{BadPath, canonical, decode};
pub use pattern::{BadEndpoint, Endpoint, Pattern, Segment};
pub use scope::{BadScope, Prefix, Scope};
pub use table::{Lookup, Params, Table, TableBuilder};
