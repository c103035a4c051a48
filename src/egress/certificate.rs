//! What is wrong with a certificate, in words for people.
//!
//! rustls says most of it in the names of its types, and of a certificate nobody vouches for it does not say whose it is. A
//! verifier around its own looks at just that: who issued it, and whether that was the server itself. It accepts one thing that the
//! other refuses: a certificate that the user has given as it is, though it is marked as an authority's.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use crate::outcome::UnixMillis;
use crate::text::harmless;

/// Names of a certificate that are told.
const NAMES_SHOWN: usize = 3;
/// Characters of a name that are told: the other side chose it.
const NAME_MAX: usize = 80;

/// The verifier of rustls, with more to say.
#[derive(Debug)]
pub(super) struct Telling {
    verifier: Arc<WebPkiServerVerifier>,
    /// Trusted as they are.
    given: Vec<CertificateDer<'static>>,
}

impl Telling {
    pub(super) fn new(
        roots: RootCertStore,
        given: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Telling { verifier, given })
    }

    /// `openssl req -x509` marks what it makes as an authority's, and people give such a certificate of a server with `--cacert`.
    /// Who is trusted to vouch for everybody may vouch for itself; the signature of the handshake shows that it is the one.
    fn is_given(&self, end_entity: &CertificateDer<'_>) -> bool {
        self.given.iter().any(|given| given == end_entity)
    }
}

impl ServerCertVerifier for Telling {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |at| {
            self.verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                at,
            )
        };
        let Err(mut error) = verify(now) else {
            return Ok(ServerCertVerified::assertion());
        };
        if self.is_given(end_entity) {
            // The mark is looked at after the dates, so only the name is left.
            if let Some(Unvouched::Authority) = Unvouched::of(end_entity, intermediates, &error) {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                return Ok(ServerCertVerified::assertion());
            }
        } else if let Some(at) = time_of(&error)
            // The time is looked at before the issuer is: that nobody vouches for it says more than that it is old.
            && let Err(another) = verify(at)
            && matches!(&another, rustls::Error::InvalidCertificate(why) if !is_vouched_for(why))
        {
            error = another;
        }
        Err(match Unvouched::of(end_entity, intermediates, &error) {
            Some(why) => CertificateError::Other(OtherError(Arc::new(why))).into(),
            None => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// A certificate that no authority vouches for.
#[derive(Debug)]
enum Unvouched {
    SelfSigned,
    /// Self-signed, and marked as an authority's: the way `openssl req -x509` makes them.
    Authority,
    /// By its issuer, if that has a name.
    Unknown(Option<String>),
}

impl Unvouched {
    fn of(
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        error: &rustls::Error,
    ) -> Option<Self> {
        let rustls::Error::InvalidCertificate(error) = error else {
            return None;
        };
        let (issuer, subject) = parties(certificate)?;
        match error {
            CertificateError::UnknownIssuer if issuer == subject => Some(Unvouched::SelfSigned),
            CertificateError::UnknownIssuer => {
                // The last of the chain is the one that would have to be known.
                let last = intermediates.last().and_then(|last| parties(last));
                let (issuer, _) = last.unwrap_or((issuer, subject));
                Some(Unvouched::Unknown(name(issuer)))
            }
            CertificateError::Other(other) if issuer == subject => {
                let is_authority = format!("{other:?}").contains("CaUsedAsEndEntity");
                is_authority.then_some(Unvouched::Authority)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Unvouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unvouched::SelfSigned => f.write_str("is self-signed"),
            Unvouched::Authority => {
                f.write_str("is self-signed, and an authority's where a server's is expected")
            }
            Unvouched::Unknown(Some(name)) => {
                write!(f, "was issued by an unknown authority, \"{name}\"")
            }
            Unvouched::Unknown(None) => f.write_str("was issued by an unknown authority"),
        }
    }
}

impl std::error::Error for Unvouched {}

/// A time at which the certificate was valid, of one that is not now.
fn time_of(error: &rustls::Error) -> Option<UnixTime> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after, ..
        }) => Some(*not_after),
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before,
            ..
        }) => Some(*not_before),
        _ => None,
    }
}

/// True when a known authority vouches for the certificate, which is for another name or another time.
pub(super) fn is_vouched_for(why: &CertificateError) -> bool {
    matches!(
        why,
        CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }
    )
}

/// What is wrong with a certificate, as a predicate to "the certificate".
pub(super) fn complaint(why: &CertificateError) -> String {
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("expired on {}", day(*not_after))
        }
        CertificateError::Expired => "has expired".into(),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "is not valid before {}; is the clock right?",
            day(*not_before)
        ),
        CertificateError::NotValidYet => "is not valid yet; is the clock right?".into(),
        CertificateError::UnknownIssuer => "was issued by an unknown authority".into(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!("is for {}, not for {}", names(presented), expected.to_str()),
        CertificateError::NotValidForName => "is for another name".into(),
        CertificateError::Revoked => "was revoked".into(),
        CertificateError::BadEncoding => "cannot be read".into(),
        CertificateError::BadSignature => "has a wrong signature".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers".into()
        }
        CertificateError::Other(OtherError(inner)) => match inner.downcast_ref::<Unvouched>() {
            Some(why) => why.to_string(),
            None => format!("does not verify: {}", words(inner)),
        },
        other => format!("does not verify: {}", words(other)),
    }
}

/// The name of a variant of rustls as words: `HandshakeFailure` is `handshake failure`. What it holds is left out.
pub(super) fn words(what: &impl fmt::Debug) -> String {
    let text = format!("{what:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    let mut out = String::new();
    for c in text[..end.unwrap_or(text.len())].chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn day(time: UnixTime) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    let text = at.map_or(String::new(), |at| UnixMillis::from(at).to_string());
    text.split('T').next().unwrap_or_default().to_owned()
}

/// `DnsName("a.test")` and `IpAddress(192.0.2.1)`, as rustls has them, for a sentence.
fn names(presented: &[String]) -> String {
    let all: Vec<String> = presented
        .iter()
        .filter_map(|name| {
            let inside = name
                .strip_prefix("DnsName(")
                .or_else(|| name.strip_prefix("IpAddress("))?;
            Some(clean(inside.strip_suffix(')')?.trim_matches('"')))
        })
        .collect();
    let shown = all[..all.len().min(NAMES_SHOWN)].join(", ");
    match all.len() {
        0 => "no host".into(),
        1..=NAMES_SHOWN => shown,
        many => format!("{shown} and {} more", many - NAMES_SHOWN),
    }
}

fn clean(name: &str) -> String {
    let letters = harmless(name).filter(|c| *c != '"');
    letters.take(NAME_MAX).collect()
}

/// Issuer and subject of a certificate (RFC 5280 section 4.1), undecoded.
fn parties(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&VERSION) {
        (_, _, rest) = element(rest)?;
    }
    let (_, _, rest) = element(rest)?; // Serial number.
    let (_, _, rest) = element(rest)?; // Signature algorithm.
    let (tag, issuer, rest) = element(rest)?;
    let (_, _, rest) = element(rest)?; // Validity.
    let (_, subject, _) = element(rest)?;
    (tag == SEQUENCE).then_some((issuer, subject))
}

/// The common name of a distinguished one, else its organization.
fn name(mut of: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    const ORGANIZATION: &[u8] = &[0x55, 4, 10];
    let (mut common, mut organization) = (None, None);
    while let Some((_, set, rest)) = element(of) {
        of = rest;
        let (_, pair, _) = element(set)?;
        let (_, kind, value) = element(pair)?;
        let (_, text, _) = element(value)?;
        let text = || Some(clean(&String::from_utf8_lossy(text))).filter(|text| !text.is_empty());
        match kind {
            COMMON_NAME => common = text(),
            ORGANIZATION => organization = text(),
            _ => {}
        }
    }
    common.or(organization)
}

/// Tag, content and rest of a DER element.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_types_become_words_without_what_they_hold() {
        assert_eq!(words(&CertificateError::Revoked), "revoked");
        assert_eq!(
            words(&rustls::AlertDescription::HandshakeFailure),
            "handshake failure"
        );
        assert_eq!(words(&Some("s3cret")), "some");
    }

    proptest! {
        #[test]
        fn any_bytes_have_parties_and_a_name_or_none(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x30), Just(2)], 0..60),
        ) {
            let _ = parties(&bytes);
            let _ = name(&bytes);
        }
    }
}
