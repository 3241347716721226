//! From the declared endpoint's text to its handler.
//!
//! The broker's match chose this worker and names the endpoint as it was declared (P-32), so a hash map is the whole router.

use crate::compose::Handler;
use hera_protocol::message::declare::Declared;
use std::collections::HashMap;
use std::sync::Arc;

/// One endpoint: what was declared, and who answers.
pub(crate) struct Endpoint {
    /// The declaration, with its limits.
    pub(crate) declared: Declared,
    /// The user's handler.
    pub(crate) handler: Handler,
}

/// All endpoints of an app, in the order of their declaration.
#[derive(Default)]
pub(crate) struct Router {
    endpoints: Vec<Arc<Endpoint>>,
    by_text: HashMap<String, Arc<Endpoint>>,
}

impl Router {
    /// Adds an endpoint. One that stands there already is kept in the declaration, so that the broker refuses the second by name.
    pub(crate) fn add(&mut self, declared: Declared, handler: Handler) {
        let endpoint = Arc::new(Endpoint { declared, handler });
        self.by_text.insert(endpoint.declared.endpoint.clone(), Arc::clone(&endpoint));
        self.endpoints.push(endpoint);
    }

    /// The endpoint of this text.
    pub(crate) fn find(&self, endpoint: &str) -> Option<&Arc<Endpoint>> {
        self.by_text.get(endpoint)
    }

    /// What is told to every broker.
    pub(crate) fn declarations(&self) -> Vec<Declared> {
        self.endpoints.iter().map(|endpoint| endpoint.declared.clone()).collect()
    }
}
