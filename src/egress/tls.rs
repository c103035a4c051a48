//! TLS to `https` proxies and, through any proxy, with targets.
//!
//! One client configuration per purpose, shared by all connections: what a target is trusted by has nothing to do with what a
//! proxy is trusted by. Session resumption is off, since a ticket taken through one exit and shown through another tells the
//! target that both are the same client; a handshake more is the price.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::Telling;
use super::{HttpVersions, Settings, fault};
use crate::error::{Error, Problem};
use crate::job::HostKey;
use crate::outcome::{Fault, FaultKind, Phase};

/// Targets that are remembered for wanting HTTP/1.1.
const MOST_HTTP1: usize = 10_000;

/// The client configurations.
pub(super) struct Tls {
    target: TlsConnector,
    /// Offers HTTP/1.1 alone.
    target_http1: TlsConnector,
    /// The targets that have HTTP/2 and want HTTP/1.1.
    http1: Mutex<HashSet<HostKey>>,
    proxy: TlsConnector,
    /// Targets are verified.
    pub(super) verifies: bool,
}

impl Tls {
    /// # Errors
    /// A PEM file that cannot be read, or holds no certificate.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let mut target = config(
            settings.insecure,
            settings.cacert.as_deref().map(|path| ("--cacert", path)),
        )?;
        target.alpn_protocols = match settings.http {
            HttpVersions::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            HttpVersions::Http1 => vec![b"http/1.1".to_vec()],
            HttpVersions::Http2 => vec![b"h2".to_vec()],
        };
        let proxy = config(
            settings.proxy_insecure,
            settings
                .proxy_cacert
                .as_deref()
                .map(|path| ("--proxy-cacert", path)),
        )?;
        let mut target_http1 = target.clone();
        target_http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls {
            target: Arc::new(target).into(),
            target_http1: Arc::new(target_http1).into(),
            http1: Mutex::default(),
            proxy: Arc::new(proxy).into(),
            verifies: !settings.insecure,
        })
    }

    /// TLS with a target.
    pub(super) async fn with_target<T>(
        &self,
        target: &HostKey,
        io: T,
    ) -> Result<TlsStream<T>, Fault>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = match self.wanting_http1().contains(target) {
            true => &self.target_http1,
            false => &self.target,
        };
        shake_hands(connector, Phase::Tls, &target.host, io).await
    }

    /// HTTP/2 is not offered to this target again.
    pub(super) fn remember_http1(&self, target: &HostKey) {
        let mut known = self.wanting_http1();
        // Those that are forgotten say so again.
        if known.len() >= MOST_HTTP1 {
            known.clear();
        }
        known.insert(target.clone());
    }

    fn wanting_http1(&self) -> MutexGuard<'_, HashSet<HostKey>> {
        self.http1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// TLS with an `https` proxy.
    pub(super) async fn with_proxy<T>(&self, host: &str, io: T) -> Result<TlsStream<T>, Fault>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        shake_hands(&self.proxy, Phase::ProxyTls, host, io).await
    }
}

async fn shake_hands<T>(
    connector: &TlsConnector,
    phase: Phase,
    host: &str,
    io: T,
) -> Result<TlsStream<T>, Fault>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        Fault::new(
            phase,
            FaultKind::Unsupported,
            format!("{host} is no name TLS can verify"),
        )
    })?;
    connector
        .connect(name, io)
        .await
        .map_err(|error| fault::from_tls(phase, &error))
}

/// A configuration that trusts `authorities`, or the built-in ones, or anybody.
fn config(insecure: bool, authorities: Option<(&str, &Path)>) -> Result<ClientConfig, Error> {
    let (roots, given) = match authorities {
        Some((flag, path)) => read_authorities(flag, path)?,
        None => {
            let roots = webpki_roots::TLS_SERVER_ROOTS.to_vec();
            (RootCertStore { roots }, Vec::new())
        }
    };
    client_config(roots, given, insecure)
}

/// The built-in authorities, for direct traffic.
pub(super) fn builtin() -> Result<ClientConfig, Error> {
    config(false, None)
}

fn client_config(
    roots: RootCertStore,
    given: Vec<CertificateDer<'static>>,
    insecure: bool,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Internal(format!("TLS versions: {error}")))?;
    let verifier: Arc<dyn ServerCertVerifier> = if insecure {
        Arc::new(Anybody(provider))
    } else {
        let telling = Telling::new(roots, given, provider)
            .map_err(|error| Error::Internal(format!("TLS authorities: {error}")))?;
        Arc::new(telling)
    };
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The certificates of a file, as authorities and as they are.
fn read_authorities(
    flag: &str,
    path: &Path,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Error> {
    let pem = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    let problem = |what: String| {
        Error::Usage(
            Problem::new(what)
                .at(flag)
                .hint("give a file with one or more -----BEGIN CERTIFICATE----- blocks"),
        )
    };
    let (mut roots, mut given) = (RootCertStore::empty(), Vec::new());
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate
            .map_err(|error| problem(format!("{} is not PEM: {error}", path.display())))?;
        given.push(certificate.clone());
        roots.add(certificate).map_err(|error| {
            problem(format!(
                "{} holds a certificate that cannot be used: {error}",
                path.display()
            ))
        })?;
    }
    if roots.is_empty() {
        return Err(problem(format!("{} holds no certificate", path.display())));
    }
    Ok((roots, given))
}

/// `-k`: whoever answers is the one. Not even the handshake's signature is checked, since it proves nothing about an identity
/// nobody vouches for, and odd certificates are why people use `-k`.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cacert(content: &[u8]) -> Result<Tls, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        Tls::new(&Settings {
            cacert: Some(file.path().to_owned()),
            ..Settings::default()
        })
    }

    #[test]
    fn a_bad_authority_file_is_named_at_construction() {
        for content in [
            &b""[..],
            b"no pem here",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let Err(Error::Usage(problem)) = with_cacert(content) else {
                panic!("{content:?} was taken for an authority");
            };
            assert_eq!(problem.place.as_deref(), Some("--cacert"));
        }
        let missing = Tls::new(&Settings {
            proxy_cacert: Some("/nonexistent/ca.pem".into()),
            ..Settings::default()
        });
        assert!(matches!(missing, Err(Error::Io { .. })));
    }

    #[test]
    fn nothing_is_resumed() {
        let config = builtin().unwrap();
        assert!(format!("{:?}", config.resumption).contains("NoClientSessionStorage"));
    }
}
