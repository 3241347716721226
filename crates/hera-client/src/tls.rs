//! `heras://`: TLS to brokers, trusted by the certificates that the operator names.

use crate::connection::Socket;
use crate::error::Error;
use std::path::Path;
use tokio::net::TcpStream;

/// A socket on TLS, and the SHA-256 of the broker's leaf certificate, which goes into the transcript (P-16).
pub(crate) type Secured = (Box<dyn Socket>, [u8; 32]);

/// How to speak TLS.
pub(crate) struct Tls {
    #[cfg(feature = "tls")]
    connector: tokio_rustls::TlsConnector,
}

#[cfg(not(feature = "tls"))]
impl Tls {
    /// `None` for plain TCP.
    pub(crate) fn for_brokers(needed: bool, _ca_file: Option<&Path>) -> Result<Option<Tls>, Error> {
        let problem = || "heras:// needs the feature `tls` of hera-client".to_owned();
        if needed { Err(Error::Options { option: "brokers (HERA)", problem: problem() }) } else { Ok(None) }
    }

    /// Never reached: there is no `Tls` without the feature.
    pub(crate) async fn connect(&self, _host: &str, _tcp: TcpStream) -> Result<Secured, String> {
        Err("no TLS in this build".to_owned())
    }
}

#[cfg(feature = "tls")]
impl Tls {
    /// `None` where nobody is named to be trusted, which is an error when TLS is `needed`; errs when the certificates cannot be read.
    pub(crate) fn for_brokers(needed: bool, ca_file: Option<&Path>) -> Result<Option<Tls>, Error> {
        let bad = |problem: String| Error::Options { option: "ca_file (HERA_CA_FILE)", problem };
        let Some(file) = ca_file else {
            let missing = || bad("not set; heras:// needs the certificates to trust".to_owned());
            return if needed { Err(missing()) } else { Ok(None) };
        };
        let config = config(file).map_err(|problem| bad(format!("{}: {problem}", file.display())))?;
        Ok(Some(Tls { connector: tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)) }))
    }

    /// Speaks TLS on `tcp` and checks the broker's certificate against `host`.
    pub(crate) async fn connect(&self, host: &str, tcp: TcpStream) -> Result<Secured, String> {
        use tokio_rustls::rustls::pki_types::ServerName;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no name for TLS"))?;
        let socket = self.connector.connect(name, tcp).await.map_err(|error| error.to_string())?;
        let leaf = socket.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let leaf = leaf.ok_or("the broker showed no certificate")?;
        let mut hash = [0; 32];
        hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, leaf).as_ref());
        Ok((Box::new(socket), hash))
    }
}

#[cfg(feature = "tls")]
fn config(ca_file: &Path) -> Result<tokio_rustls::rustls::ClientConfig, String> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    // The provider is passed by hand: installing one is the application's to decide.
    let builder = ClientConfig::builder_with_provider(std::sync::Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
