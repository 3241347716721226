//! What a worker serves.

use crate::brokers::Brokers;
use crate::client::Client;
use crate::compose::{self, Handler, Layer, Next};
use crate::error::Error;
use crate::options::Options;
use crate::random;
use crate::request::Request;
use crate::response::IntoResponse;
use crate::router::Router;
use crate::signals::Signals;
use crate::status::Monitor;
use crate::worker::Worker;
use hera_protocol::key::hex;
use hera_protocol::message::declare::Declared;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// Endpoints, layers and options of a worker.
///
/// Handlers take a [`Request`] and give anything that is [`IntoResponse`]. A handler that fails or panics costs its own call
/// (`handler_failed`, its text in the log alone) and nothing else.
#[derive(Default)]
pub struct App {
    options: Options,
    router: Router,
    layers: Vec<Layer>,
}

macro_rules! methods {
    ($($name:ident $method:literal;)*) => {
        $(#[doc = concat!("Serves `", $method, "` at a pattern: `/0/items/{id}`, `/0/files/{*rest}`.")]
        pub fn $name<F, Fut>(&mut self, pattern: &str, handler: F) -> &mut App
        where
            F: Fn(Request) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            Fut::Output: IntoResponse,
        {
            self.endpoint(format!(concat!($method, " {}"), pattern)).handle(handler)
        })*
    };
}

impl App {
    /// An app whose options come from the environment.
    pub fn new() -> App {
        App::default()
    }

    /// An app with options of its own.
    pub fn with(options: Options) -> App {
        App { options, ..App::default() }
    }

    methods! {
        get "GET";
        head "HEAD";
        post "POST";
        put "PUT";
        patch "PATCH";
        delete "DELETE";
        options "OPTIONS";
        all "*";
    }

    /// Begins an endpoint with limits of its own: `METHOD PATTERN`, method `*` for any. It is served once it has its handler.
    pub fn endpoint(&mut self, endpoint: impl Into<String>) -> Endpoint<'_> {
        Endpoint { app: self, declared: Declared::new(endpoint) }
    }

    /// Puts a layer around every handler, wherever the endpoints are declared; the first layer is the outermost.
    ///
    /// ```
    /// # use hera_client::{App, Next, Request};
    /// let mut app = App::new();
    /// app.layer(|req: Request, next: Next| async move {
    ///     Ok::<_, hera_client::BoxError>(next.run(req).await?.header("x-served-by", "me"))
    /// });
    /// ```
    pub fn layer<F, Fut>(&mut self, layer: F) -> &mut App
    where
        F: Fn(Request, Next) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoResponse,
    {
        self.layers.push(compose::layer(layer));
        self
    }

    /// Dials all brokers; resolves when the first one accepted the declaration.
    ///
    /// Errs on options that cannot be, and when a broker refuses the key or an endpoint. Brokers that are away are dialled until they
    /// are back. Dropping the future stops the dialling.
    pub async fn connect(self) -> Result<Client, Error> {
        let settings = self.options.resolve(|name| std::env::var(name).ok())?;
        let worker = Worker {
            endpoints: self.router.declarations(),
            router: self.router,
            layers: self.layers.into(),
            key: settings.key.clone(),
            instance: instance(),
            version: settings.version.clone(),
            limits: settings.limits,
            in_flight: AtomicUsize::new(0),
            brokers: Brokers::default(),
            monitor: Monitor::new(),
        };
        let client = Client::begin(settings, Arc::new(worker))?;
        client.first().await?;
        Ok(client)
    }

    fn serve_at(&mut self, declared: Declared, handler: Handler) {
        self.router.add(declared, handler);
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let endpoints = self.router.declarations().into_iter().map(|declared| declared.endpoint);
        f.debug_list().entries(endpoints).finish()
    }
}

/// An endpoint that is being described; [`Endpoint::handle`] adds it to its app.
#[must_use = "an endpoint is served once it has its handler"]
pub struct Endpoint<'a> {
    app: &'a mut App,
    declared: Declared,
}

impl<'a> Endpoint<'a> {
    /// Time that a call may take, 1 ms to 300 s. Default: 15 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.declared.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Largest body of a call, 0 to 2^40 bytes; more is answered 413. Default: 1 MiB.
    pub fn body_bytes_max(mut self, bytes: u64) -> Self {
        self.declared.body_bytes_max = bytes;
        self
    }

    /// Calls of this endpoint at once on one broker's connection, 1 to 65,535; the broker keeps to it. Default: no limit of its own.
    pub fn concurrency(mut self, calls: u32) -> Self {
        self.declared.concurrency = Some(calls);
        self
    }

    /// Whether a call may run twice, so that it is sent to another worker when its connection is lost. GET, HEAD, OPTIONS, PUT and DELETE always may.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.declared.idempotent = Some(idempotent);
        self
    }

    /// The request headers that the handler wants; others are not sent. Default: all.
    pub fn headers<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.declared.headers =
            Some(names.into_iter().map(|name| name.as_ref().to_ascii_lowercase()).collect());
        self
    }

    /// Serves the endpoint with this handler.
    pub fn handle<F, Fut>(self, handler: F) -> &'a mut App
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: IntoResponse,
    {
        self.app.serve_at(self.declared, compose::handler(handler));
        self.app
    }
}

impl std::fmt::Debug for Endpoint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.declared.fmt(f)
    }
}

/// Serves an app until SIGTERM or SIGINT, then drains; a second signal ends it at once.
///
/// Errs as [`App::connect`] does. Brokers that go away later are dialled again.
pub async fn serve(app: App) -> Result<(), Error> {
    let mut signals = Signals::watch(app.options.wants_signals())?;
    let client = tokio::select! {
        client = app.connect() => client?,
        () = signals.next() => return Ok(()),
    };
    tokio::select! {
        () = client.closed() => return Ok(()),
        () = signals.next() => tracing::info!("worker drains; a second signal stops it at once"),
    }
    tokio::select! {
        () = client.drain() => {}
        () = signals.next() => client.stop(),
    }
    Ok(())
}

/// A name that no other process has: host, process id, and a random part for hosts whose ids and names repeat, as containers' do.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String =
        host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(36).collect();
    let host = if host.is_empty() { "host" } else { &host };
    format!("{host}-{}-{}", std::process::id(), hex(&random::bytes::<4>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Response;

    #[test]
    fn endpoints_are_declared_in_order_with_their_limits() {
        let mut app = App::new();
        app.get("/0/a/{id}", async |_: Request| "a").all("/0/b", |_: Request| async { (201, "b") });
        app.endpoint("POST /0/c")
            .timeout(Duration::from_secs(2))
            .body_bytes_max(7)
            .concurrency(3)
            .idempotent(true)
            .headers(["X-One"])
            .handle(async |_: Request| Response::empty());

        let declared = app.router.declarations();

        assert_eq!(declared[0], Declared::new("GET /0/a/{id}"));
        assert_eq!(declared[1], Declared::new("* /0/b"));
        let c = Declared {
            timeout_ms: 2_000,
            body_bytes_max: 7,
            concurrency: Some(3),
            idempotent: Some(true),
            headers: Some(vec!["x-one".into()]),
            ..Declared::new("POST /0/c")
        };
        assert_eq!(declared[2], c);
    }

    #[test]
    fn instance_is_a_word_and_differs_each_time() {
        let name = instance();

        assert!((1..=64).contains(&name.len()));
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)), "{name}");
        assert_ne!(name, instance());
    }
}
