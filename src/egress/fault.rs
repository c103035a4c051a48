//! Foreign errors as [`Fault`]s.
//!
//! Everything the sockets, TLS and HTTP libraries can say is folded here into the closed list of [`FaultKind`]s. Texts are our
//! own where a kind has one meaning; a library's text is used only where it cannot hold anything the user told us (certificate
//! and parser errors), so no credential can reach a message.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::time::Duration;

use super::certificate;
use crate::outcome::{Fault, FaultKind, Phase};

/// The kind of a socket error.
pub(super) fn io_kind(error: &io::Error) -> FaultKind {
    if error.raw_os_error().is_some_and(is_exhaustion) {
        return FaultKind::Local;
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => FaultKind::Refused,
        // An address no packet may be sent to (0.0.0.0/8, broadcast) is the list's fault, not this machine's.
        ErrorKind::HostUnreachable | ErrorKind::PermissionDenied | ErrorKind::InvalidInput => {
            FaultKind::Unreachable
        }
        ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        | ErrorKind::AddrInUse
        | ErrorKind::OutOfMemory => FaultKind::Local,
        ErrorKind::TimedOut => FaultKind::Timeout,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected => FaultKind::Reset,
        ErrorKind::UnexpectedEof | ErrorKind::WriteZero => FaultKind::Closed,
        ErrorKind::InvalidData => FaultKind::Malformed,
        _ => FaultKind::Reset,
    }
}

/// True for EMFILE, ENFILE and ENOBUFS, which have no `ErrorKind` of their own.
fn is_exhaustion(code: i32) -> bool {
    // Linux, then the BSDs and macOS, then Windows (WSAEMFILE, WSAENOBUFS).
    matches!(code, 23 | 24) || code == if cfg!(target_os = "linux") { 105 } else { 55 } || {
        cfg!(windows) && matches!(code, 10024 | 10055)
    }
}

/// A socket error of `phase`.
pub(super) fn from_io(phase: Phase, error: &io::Error) -> Fault {
    let kind = io_kind(error);
    let message: &'static str = match kind {
        FaultKind::Refused => "connection refused",
        FaultKind::Unreachable => "no way to this address",
        FaultKind::Timeout => "the operating system gave up on the connection",
        FaultKind::Reset => "connection reset",
        FaultKind::Closed => "connection closed",
        FaultKind::Local => {
            // What the system says, where it has said it: shortages have no kind of their own.
            let why = match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code).to_string(),
                None => error.kind().to_string(),
            };
            return Fault::new(phase, kind, format!("this machine: {why}"));
        }
        _ => "the other side does not speak the protocol",
    };
    Fault::new(phase, kind, message)
}

/// A failed TLS handshake. tokio-rustls hands rustls errors over inside an `io::Error`.
pub(super) fn from_tls(phase: Phase, error: &io::Error) -> Fault {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        None if error.kind() == ErrorKind::UnexpectedEof => Fault::new(
            phase,
            FaultKind::Closed,
            "connection closed in the TLS handshake",
        ),
        None => from_io(phase, error),
        Some(rustls::Error::InvalidCertificate(why)) => {
            let whose = match phase {
                Phase::ProxyTls => "the proxy's certificate",
                _ => "the certificate",
            };
            let message = format!("{whose} {}", certificate::complaint(why));
            let kind = match phase != Phase::ProxyTls && certificate::is_vouched_for(why) {
                true => FaultKind::OtherCertificate,
                false => FaultKind::Certificate,
            };
            Fault::new(phase, kind, message)
        }
        Some(rustls::Error::InvalidMessage(_)) => Fault::new(
            phase,
            FaultKind::Malformed,
            "the answer to the TLS handshake is not TLS",
        ),
        Some(other) => Fault::new(phase, FaultKind::Tls, tls(other)),
    }
}

/// What is wrong with a certificate, where that is what `error` is about.
pub(super) fn certificate_in(error: &(dyn StdError + 'static)) -> Option<String> {
    let error = match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref()?.downcast_ref::<rustls::Error>(),
        None => error.downcast_ref::<rustls::Error>(),
    };
    match error? {
        rustls::Error::InvalidCertificate(why) => {
            Some(format!("the certificate {}", certificate::complaint(why)))
        }
        _ => None,
    }
}

/// What rustls says of a handshake, without the names of its types.
fn tls(error: &rustls::Error) -> String {
    use certificate::words;
    match error {
        rustls::Error::AlertReceived(alert) => {
            format!("the other side gave up on TLS: {}", words(alert))
        }
        rustls::Error::PeerIncompatible(why) => {
            format!("no way of TLS that both sides know: {}", words(why))
        }
        rustls::Error::PeerMisbehaved(why) => {
            format!("the other side breaks the rules of TLS: {}", words(why))
        }
        other => format!("TLS failed: {other}"),
    }
}

/// A failed read or write of HTTP. Inside TLS the library's own errors are within those of the stream.
pub(super) fn from_stream(phase: Phase, error: &io::Error) -> Fault {
    match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => from_tls(phase, error),
        _ => from_io(phase, error),
    }
}

/// An error of hyper, which speaks HTTP/2 here, while the head was awaited or the body was read.
pub(super) fn from_hyper(phase: Phase, error: &hyper::Error) -> Fault {
    if let Some(io) = io_source(error) {
        return from_stream(phase, io);
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Fault::new(
            phase,
            FaultKind::Closed,
            "connection closed before the answer was whole",
        );
    }
    h2_in(error)
        .and_then(|error| ended_by_target(phase, error).or_else(|| against_rules(phase, error)))
        .unwrap_or_else(|| Fault::new(phase, FaultKind::Malformed, error.to_string()))
}

/// What the HTTP/2 library has said.
fn h2_in(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// An error code of HTTP/2 that came from the other side.
fn ended_by_target(phase: Phase, error: &h2::Error) -> Option<Fault> {
    let reason = error.reason().filter(|_| error.is_remote())?;
    let what = if error.is_go_away() {
        "connection"
    } else {
        "stream"
    };
    let message = format!("the target ended the HTTP/2 {what} with {reason:?}");
    Some(Fault::new(phase, FaultKind::Http2(reason.into()), message))
}

/// What the library does not take from the other side. It says no more than the code, and gives no frame out that it finds wrong.
fn against_rules(phase: Phase, error: &h2::Error) -> Option<Fault> {
    let reason = error.reason().filter(|_| !error.is_remote())?;
    let likely = match (phase, reason) {
        (Phase::Body, h2::Reason::PROTOCOL_ERROR) => {
            ", as with a body of another length than its content-length"
        }
        _ => "",
    };
    let message = format!("the answer breaks the rules of HTTP/2 ({reason:?}){likely}");
    Some(Fault::new(phase, FaultKind::Malformed, message))
}

/// True when the target says that it has done nothing with the request (RFC 9113, section 8.7): the stream came after the last one
/// that a GOAWAY names, which is what such an error means here, or was refused.
pub(super) fn is_unprocessed(error: &hyper::Error) -> bool {
    use h2::Reason;
    let refused = [Reason::REFUSED_STREAM, Reason::HTTP_1_1_REQUIRED];
    h2_in(error).is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && (error.is_go_away() || reason.is_some_and(|reason| refused.contains(&reason)))
    })
}

/// True when the target serves this over HTTP/1.1 only.
pub(super) fn wants_http1(kind: FaultKind) -> bool {
    kind == FaultKind::Http2(h2::Reason::HTTP_1_1_REQUIRED.into())
}

/// The socket error at the bottom of the chain, if there is one.
fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io);
        }
        // It does not name it as its source.
        if let Some(io) = inner.downcast_ref().and_then(h2::Error::get_io) {
            return Some(io);
        }
        source = inner.source();
    }
    None
}

/// True when the other side went away: the fault of a stale connection.
pub(super) fn is_hang_up(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Closed | FaultKind::Reset | FaultKind::Http2(_)
    )
}

/// True for what a proxy that has all the connections it may have does with one more.
pub(super) fn is_turned_away(fault: &Fault) -> bool {
    let kind = fault.kind;
    fault.phase <= Phase::Handshake
        && (is_hang_up(kind)
            || matches!(
                kind,
                FaultKind::Refused | FaultKind::Timeout | FaultKind::Rejected(429 | 503)
            ))
}

/// A limit passed in `phase`; `limit` is absent for the deadline of the whole attempt.
pub(super) fn timeout(phase: Phase, limit: Option<Duration>) -> Fault {
    let what = match phase {
        Phase::Dns => "looking up the proxy's name",
        Phase::Connect => "connecting",
        Phase::ProxyTls => "the TLS handshake with the proxy",
        Phase::Handshake => "the handshake with the proxy",
        Phase::Tls => "the TLS handshake with the target",
        Phase::Request => "sending the request",
        Phase::Headers => "waiting for the answer",
        Phase::Body => "reading the body",
    };
    match limit {
        Some(limit) => Fault::new(
            phase,
            FaultKind::Timeout,
            format!("{what} took longer than {:.1} s", limit.as_secs_f64()),
        ),
        None => Fault::new(
            phase,
            FaultKind::Timeout,
            format!("the time limit passed while {what}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_called_what_the_system_calls_it() {
        let fault = from_io(Phase::Connect, &io::Error::from_raw_os_error(24));
        assert_eq!(
            &*fault.message,
            "this machine: Too many open files (os error 24)"
        );
    }

    #[test]
    fn shortages_of_this_machine_are_charged_to_nobody_else() {
        for code in [23, 24] {
            assert_eq!(
                io_kind(&io::Error::from_raw_os_error(code)),
                FaultKind::Local
            );
        }
        assert_eq!(
            io_kind(&ErrorKind::NetworkUnreachable.into()),
            FaultKind::Local
        );
        assert_eq!(
            io_kind(&ErrorKind::AddrNotAvailable.into()),
            FaultKind::Local
        );
        assert_eq!(
            io_kind(&ErrorKind::ConnectionRefused.into()),
            FaultKind::Refused
        );
        assert_eq!(
            io_kind(&ErrorKind::HostUnreachable.into()),
            FaultKind::Unreachable
        );
        assert_eq!(io_kind(&ErrorKind::BrokenPipe.into()), FaultKind::Reset);
    }
}
