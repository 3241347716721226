//! Layers around handlers: the first layer added is the outermost.

use crate::error::Outcome;
use crate::request::Request;
use crate::response::IntoResponse;
use std::pin::Pin;
use std::sync::Arc;

/// A future on the heap: handlers and layers of all types stand in one table.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// A handler without its type.
pub(crate) type Handler = Arc<dyn Fn(Request) -> BoxFuture<Outcome> + Send + Sync>;
/// A layer without its type.
pub(crate) type Layer = Arc<dyn Fn(Request, Next) -> BoxFuture<Outcome> + Send + Sync>;

/// Takes the type off a handler.
pub(crate) fn handler<F, Fut>(handler: F) -> Handler
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoResponse,
{
    Arc::new(move |request| {
        let answer = handler(request);
        Box::pin(async move { answer.await.into_response() })
    })
}

/// Takes the type off a layer.
pub(crate) fn layer<F, Fut>(layer: F) -> Layer
where
    F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoResponse,
{
    Arc::new(move |request, next| {
        let answer = layer(request, next);
        Box::pin(async move { answer.await.into_response() })
    })
}

/// What stands behind a layer: the other layers, then the handler.
pub struct Next {
    layers: Arc<[Layer]>,
    at: usize,
    handler: Handler,
}

impl Next {
    /// All layers, then `handler`.
    pub(crate) fn new(layers: Arc<[Layer]>, handler: Handler) -> Next {
        Next { layers, at: 0, handler }
    }

    /// Runs the rest. An error is what the handler, or a layer further in, failed with; a layer may pass it on as it is.
    pub async fn run(mut self, request: Request) -> Outcome {
        match self.layers.get(self.at).cloned() {
            Some(layer) => {
                self.at += 1;
                layer(request, self).await
            }
            None => (self.handler)(request).await,
        }
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Next({} layers)", self.layers.len().saturating_sub(self.at))
    }
}
