//! The lab's certificates: one authority that clients are told to trust, one that they are not, and leaves on demand.
//!
//! All leaves share one key, so that a leaf costs one signature. Configurations are cached by name, up to a bound.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Cached configurations; beyond it the cache starts anew. A configuration is about 16 kB, its session cache included.
const MAX_CACHED: usize = 4096;

/// Which certificate a server shows for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Show {
    /// A good one.
    Trusted,
    /// Signed by an authority nobody trusts.
    Untrusted,
    /// Good but for its dates.
    Expired,
    /// Good but for its name.
    WrongName,
}

/// By what is shown, whether an origin shows it, and the name.
type Cache = HashMap<(Show, bool, Box<str>), Arc<ServerConfig>>;

/// Issues certificates and remembers them.
pub(super) struct Authority {
    trusted: Issuer<'static, KeyPair>,
    trusted_der: CertificateDer<'static>,
    trusted_pem: String,
    untrusted: Issuer<'static, KeyPair>,
    untrusted_der: CertificateDer<'static>,
    leaf_key: KeyPair,
    /// Offered to clients of origins.
    alpn: Vec<Vec<u8>>,
    cache: Mutex<Cache>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes both authorities. `http2` is offered by origins when set.
    pub(super) fn try_new(http2: bool) -> io::Result<Self> {
        let (trusted, trusted_der, trusted_pem) = issuer("lab authority")?;
        let (untrusted, untrusted_der, _) = issuer("intercepting authority")?;
        let mut alpn = vec![b"http/1.1".to_vec()];
        if http2 {
            alpn.insert(0, b"h2".to_vec());
        }
        Ok(Authority {
            trusted,
            trusted_der,
            trusted_pem,
            untrusted,
            untrusted_der,
            leaf_key: KeyPair::generate().map_err(io::Error::other)?,
            alpn,
            cache: Mutex::new(HashMap::new()),
        })
    }

    /// The certificate clients have to trust.
    pub(super) fn pem(&self) -> &str {
        &self.trusted_pem
    }

    /// What an origin called `name` shows.
    pub(super) fn origin(&self, name: &str, show: Show) -> io::Result<Arc<ServerConfig>> {
        self.config(name, show, true)
    }

    /// What a proxy at `address` shows to its clients.
    pub(super) fn proxy(&self, address: &str) -> io::Result<Arc<ServerConfig>> {
        self.config(address, Show::Trusted, false)
    }

    fn config(&self, name: &str, show: Show, origin: bool) -> io::Result<Arc<ServerConfig>> {
        let key = (show, origin, Box::from(name));
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = cache.get(&key) {
            return Ok(config.clone());
        }
        let config = Arc::new(self.issue(name, show, origin).map_err(io::Error::other)?);
        if cache.len() >= MAX_CACHED {
            cache.clear();
        }
        cache.insert(key, config.clone());
        Ok(config)
    }

    fn issue(
        &self,
        name: &str,
        show: Show,
        origin: bool,
    ) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
        let name = if show == Show::WrongName {
            "somebody-else.test"
        } else {
            name
        };
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        if show == Show::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let (issuer, issuer_der) = match show {
            Show::Untrusted => (&self.untrusted, &self.untrusted_der),
            _ => (&self.trusted, &self.trusted_der),
        };
        let leaf = params.signed_by(&self.leaf_key, issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), issuer_der.clone()], key)?;
        if origin {
            config.alpn_protocols.clone_from(&self.alpn);
        } else {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        Ok(config)
    }
}

fn issuer(name: &str) -> io::Result<(Issuer<'static, KeyPair>, CertificateDer<'static>, String)> {
    let make = || -> Result<_, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok((
            Issuer::new(params, key),
            certificate.der().clone(),
            certificate.pem(),
        ))
    };
    make().map_err(io::Error::other)
}
