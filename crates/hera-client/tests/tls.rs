//! `heras://`: certificates, and the proof that is bound to them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod support;

use hera_client::{App, Error, Options, Request};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use support::{Peer, TestBroker, refused, soon};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Made for these tests alone: an authority, and a broker's certificate for `localhost` and `127.0.0.1`.
fn certificate(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// What a broker needs to accept TLS, and the hash of its certificate.
fn acceptor() -> (TlsAcceptor, [u8; 32]) {
    let leaf = CertificateDer::from_pem_file(certificate("broker.pem")).unwrap();
    let hash = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, &leaf).as_ref().try_into().unwrap();
    let key = PrivateKeyDer::from_pem_file(certificate("broker.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), hash)
}

fn app(broker: &TestBroker, ca: &str) -> App {
    let url = format!("heras://{}", broker.address());
    let mut app = App::with(broker.options().brokers(url).ca_file(certificate(ca)));
    app.get("/0/hello", async |_: Request| "hello");
    app
}

async fn accept(broker: &TestBroker, acceptor: &TlsAcceptor) -> Option<Peer> {
    let tcp = broker.accept_raw().await;
    let socket = soon("the TLS handshake", acceptor.accept(tcp)).await.ok()?;
    Some(Peer::new(Box::new(socket)))
}

#[tokio::test]
async fn calls_and_drain_work_over_tls() {
    let broker = TestBroker::start().await;
    let (acceptor, hash) = acceptor();
    let live = async {
        let peer = accept(&broker, &acceptor).await.unwrap();
        broker.declare(broker.prove(peer, Some(hash)).await.unwrap()).await
    };
    let (client, mut peer) = tokio::join!(soon("the client", app(&broker, "ca.pem").connect()), live);
    let client = client.unwrap();

    assert_eq!(peer.ask("GET /0/hello", json!({}), b"").await.1, "hello");
    let fence = async {
        let (drain, _) = peer.read_until(|head| head["method"] == "drain").await;
        peer.write(json!({"jsonrpc": "2.0", "id": drain["id"], "result": {}}), b"").await;
        assert!(peer.ends_cleanly().await);
        drop(peer);
    };
    soon("the drain", async { tokio::join!(client.drain(), fence) }).await;
}

#[tokio::test]
async fn proof_for_another_certificate_is_not_believed() {
    let broker = TestBroker::start().await;
    let (acceptor, _) = acceptor();
    let client = tokio::spawn(app(&broker, "ca.pem").connect());

    let peer = accept(&broker, &acceptor).await.unwrap();

    // As someone in the middle would have it: a good proof, carried over from a connection with another certificate.
    assert!(broker.prove(peer, Some([9; 32])).await.is_none());
    assert!(!client.is_finished());
    client.abort();
}

#[tokio::test]
async fn untrusted_certificate_gets_no_hello() {
    let broker = TestBroker::start().await;
    let (acceptor, _) = acceptor();
    // The broker's own certificate is no authority for itself.
    let client = tokio::spawn(app(&broker, "broker.pem").connect());

    let met = match accept(&broker, &acceptor).await {
        Some(mut peer) => peer.frame().await.is_some(),
        None => false,
    };

    assert!(!met);
    client.abort();
}

#[tokio::test]
async fn missing_or_empty_trust_is_an_error_at_once() {
    let options = || Options::new().brokers("heras://localhost").secret(TestBroker::secret());
    let files =
        [options(), options().ca_file("/not/there.pem"), options().ca_file(certificate("broker.key"))];

    for options in files {
        let error = refused(App::with(options)).await;
        assert!(matches!(error, Error::Options { option: "ca_file (HERA_CA_FILE)", .. }), "{error}");
    }
}
