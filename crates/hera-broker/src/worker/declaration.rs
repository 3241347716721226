//! Judges a declaration (P-28 to P-30): taken whole or refused whole, naming each endpoint that offends.

use hera_protocol::Code;
use hera_protocol::limits::ENDPOINTS_MAX;
use hera_protocol::message::declare::{Declare, Declared};
use hera_protocol::message::failure::RefusedEndpoint;
use hera_registry::worker_key::KeyRecord;
use hera_route::pattern::{Endpoint, Segment};
use std::collections::HashSet;
use std::sync::Arc;

/// Refused endpoints that are named; a declaration of a thousand wrong ones needs no thousand reasons.
const NAMED_MAX: usize = 50;
const SHOWN_BYTES_MAX: usize = 200;

/// An endpoint that may be served.
#[derive(Debug)]
pub struct Accepted {
    /// Method and pattern.
    pub endpoint: Endpoint,
    /// Method and pattern without names: what makes two workers' endpoints one route.
    pub shape: String,
    /// As the worker declared it; its text is the method of the calls.
    pub declared: Declared,
    /// Names of the parameters, in order.
    pub names: Vec<String>,
}

/// Judges every endpoint of `declare` by the rules of the wire and by what `key` may serve.
pub fn judge(declare: Declare, key: &KeyRecord) -> Result<Vec<Arc<Accepted>>, Vec<RefusedEndpoint>> {
    let mut refused = Vec::new();
    let mut refuse = |endpoint: &str, code: Code, message: String| {
        if refused.len() < NAMED_MAX {
            let shown = endpoint.chars().filter(|c| !c.is_control()).take(SHOWN_BYTES_MAX).collect();
            refused.push(RefusedEndpoint { endpoint: shown, code: code.as_str().to_owned(), message });
        }
    };
    if declare.endpoints.len() > ENDPOINTS_MAX {
        let count = declare.endpoints.len();
        refuse("", Code::TooManyEndpoints, format!("{count} endpoints exceed the limit of {ENDPOINTS_MAX}"));
        return Err(refused);
    }

    let mut accepted = Vec::with_capacity(declare.endpoints.len());
    let mut shapes = HashSet::new();
    for declared in declare.endpoints {
        let endpoint = match Endpoint::parse(&declared.endpoint) {
            Ok(endpoint) => endpoint,
            Err(reason) => {
                refuse(&declared.endpoint, Code::BadEndpoint, reason.to_string());
                continue;
            }
        };
        if let Err(reason) = declared.check_limits() {
            refuse(&declared.endpoint, Code::BadEndpoint, reason);
            continue;
        }
        if !key.serve.iter().any(|prefix| prefix.covers(endpoint.pattern())) {
            let message = format!(
                "key {} does not serve this path; allow it with: hera key update {} --serve '{}'",
                key.id,
                key.name,
                endpoint.pattern()
            );
            refuse(&declared.endpoint, Code::EndpointForbidden, message);
            continue;
        }
        let shape = endpoint.shape();
        if !shapes.insert(shape.clone()) {
            refuse(&declared.endpoint, Code::DuplicateEndpoint, format!("{shape} stands twice"));
            continue;
        }
        let names = endpoint
            .pattern()
            .segments()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Static(_) => None,
                Segment::Parameter(name) | Segment::Tail(name) => Some(name.clone()),
            })
            .collect();
        accepted.push(Arc::new(Accepted { endpoint, shape, declared, names }));
    }
    if refused.is_empty() { Ok(accepted) } else { Err(refused) }
}
