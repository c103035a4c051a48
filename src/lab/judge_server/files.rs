//! What a judge keeps in files: the key it signs with, and the certificate it shows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{Error as TlsError, ServerConfig};

use crate::echo::Key;
use crate::error::{Error, Problem};

/// Characters of a line in a PEM file (RFC 7468).
const PEM_LINE: usize = 64;

/// The file of a judge's key: PKCS#8 as PEM.
#[derive(Debug)]
pub struct KeyFile {
    /// The key.
    pub key: Key,
    /// The file was made just now.
    pub is_new: bool,
    /// Every user of this machine can read the file.
    pub is_exposed: bool,
}

impl KeyFile {
    /// Reads the key in this file. Where there is no file, makes both, readable by its owner only.
    ///
    /// # Errors
    /// The file can neither be read nor made, or holds something else.
    pub fn open(path: &Path) -> Result<Self, Error> {
        match fs::read(path) {
            Ok(bytes) => Ok(KeyFile {
                key: parse(path, &bytes)?,
                is_new: false,
                is_exposed: is_exposed(path),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(KeyFile {
                key: make(path)?,
                is_new: true,
                is_exposed: false,
            }),
            Err(error) => Err(Error::io("read", path, error)),
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Key, Error> {
    let document = PrivatePkcs8KeyDer::from_pem_slice(bytes);
    let key = document
        .ok()
        .and_then(|document| Key::from_pkcs8(document.secret_pkcs8_der()).ok());
    key.ok_or_else(|| {
        Problem::new(format!("{} holds no key of a judge", path.display()))
            .at("--key")
            .hint("name a file that is not there yet, and a key is made in it")
            .into()
    })
}

fn make(path: &Path) -> Result<Key, Error> {
    let key = Key::generate().map_err(|_| Error::Internal("no random numbers".into()))?;
    let mut text = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    let mut base64 = STANDARD.encode(key.to_pkcs8());
    while !base64.is_empty() {
        let rest = base64.split_off(PEM_LINE.min(base64.len()));
        text.push_str(&base64);
        text.push('\n');
        base64 = rest;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    let mut file = create(path).map_err(|error| Error::io("create", path, error))?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key would be in the way of the next start.
        let _ = fs::remove_file(path);
        Error::io("write", path, error)
    })?;
    Ok(key)
}

/// A new file that nobody else may read.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn is_exposed(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_path: &Path) -> bool {
    false
}

/// A certificate with its chain and its key, ready to be shown.
#[derive(Debug, Clone)]
pub struct JudgeTls(Arc<ServerConfig>);

impl JudgeTls {
    /// Reads two PEM files: the certificate first in its chain, and the private key to it (PKCS#8, PKCS#1 or SEC1).
    ///
    /// # Errors
    /// A file that cannot be read or holds something else; a key to another certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let read = |path| fs::read(path).map_err(|error| Error::io("read", path, error));
        let chain = chain_in(certificate, &read(certificate)?)?;
        let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| {
            let hint =
                "give -----BEGIN PRIVATE KEY-----; one with a passphrase has to be decrypted first";
            match error {
                PemError::NoItemsFound => {
                    problem(format!("{} holds no private key", key.display()), hint)
                }
                error => problem(format!("{} is not PEM: {error}", key.display()), hint),
            }
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Internal(format!("no TLS: {error}")))?
            .with_no_client_auth()
            .with_single_cert(chain, secret);
        let mut config = config.map_err(|error| match error {
            TlsError::InconsistentKeys(_) => problem(
                format!(
                    "the key in {} is not that of the certificate in {}",
                    key.display(),
                    certificate.display()
                ),
                "name the two files that were issued together",
            ),
            error => problem(
                format!("{} cannot be used: {error}", certificate.display()),
                CERTIFICATE_HINT,
            ),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(JudgeTls(Arc::new(config)))
    }

    pub(super) fn config(&self) -> &Arc<ServerConfig> {
        &self.0
    }
}

const CERTIFICATE_HINT: &str = "give the server's own -----BEGIN CERTIFICATE----- first, then those it was issued by (fullchain.pem)";

fn chain_in(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(problem(
            format!("{} holds no certificate", path.display()),
            CERTIFICATE_HINT,
        )),
        Ok(chain) => Ok(chain),
        Err(error) => Err(problem(
            format!("{} is not PEM: {error}", path.display()),
            CERTIFICATE_HINT,
        )),
    }
}

fn problem(what: String, hint: &str) -> Error {
    Problem::new(what).at("--tls").hint(hint).into()
}
