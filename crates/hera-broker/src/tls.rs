//! TLS of the public and the worker listener.

use crate::io::Stream;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// What a listener needs to speak TLS.
pub struct Tls {
    acceptor: TlsAcceptor,
    /// SHA-256 of the leaf certificate: part of what brokers and workers sign (P-16).
    pub leaf_sha256: [u8; 32],
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({})", hera_protocol::key::hex(&self.leaf_sha256[..8]))
    }
}

impl Tls {
    /// Reads a certificate chain and its key, both PEM; TLS 1.2 and 1.3 are spoken, HTTP/1.1 alone.
    pub fn load(cert: &Path, key: &Path) -> Result<Tls, String> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|error| format!("{}: {error}", cert.display()))?;
        let leaf = chain.first().ok_or_else(|| format!("{}: no certificate", cert.display()))?;
        let leaf_sha256 = hera_protocol::proof::sha256(leaf.as_ref());
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| format!("{}: {error}", cert.display()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), leaf_sha256 })
    }
}

/// Makes a connection that was accepted ready to be read: does the TLS handshake where TLS is spoken.
pub async fn accept(tls: Option<&Tls>, stream: TcpStream) -> std::io::Result<Stream> {
    match tls {
        None => Ok(Stream::Tcp(stream)),
        Some(tls) => Ok(Stream::Tls(Box::new(tls.acceptor.accept(stream).await?))),
    }
}
