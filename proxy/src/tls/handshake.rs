//! Why a handshake was not completed: which side said no, and by which rule.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error};

use crate::tls::names::NotAccepted;
use crate::tls::{LONGEST_PROBLEM, bounded, peer};

/// A handshake that was not completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandshakeError {
    /// With whom.
    pub peer: Peer,
    /// Why.
    pub cause: HandshakeFailure,
    /// The names in a certificate of the peer's that was refused: what it says it is.
    pub theirs: Option<String>,
    /// The names in our own certificate, where we showed or would have shown one.
    pub ours: Option<String>,
}

/// The other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It connected to us.
    Client,
    /// We connected to it.
    Server,
}

/// Why a handshake was not completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It took longer than this.
    TimedOut(Duration),
    /// The peer closed the connection.
    HungUp,
    /// The peer said no, with this alert (as RFC 8446 names it).
    Alert(String),
    /// We refused the peer's certificate; the rule.
    Certificate(String),
    /// It is a good certificate of somebody else; who that is.
    Name(String),
    /// The peer showed no certificate, and must.
    NoCertificate,
    /// What came was not TLS.
    NotTls,
    /// Nothing that both sides can do, or the peer broke the protocol; what it is.
    Protocol(String),
    /// The connection failed.
    Io(io::ErrorKind),
}

impl HandshakeError {
    /// Of an error that a TLS stream gave, in the handshake or later: with TLS 1.3, a server refuses a client's certificate
    /// only after the client's handshake is done.
    pub fn new(peer: Peer, error: &io::Error) -> Self {
        let library = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let cause = match (library, error.kind()) {
            (Some(error), _) => of_library(error),
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => HandshakeFailure::HungUp,
            (None, kind) => HandshakeFailure::Io(kind),
        };
        // Whatever is refused later than this is another handshake's.
        let refused = peer::refused();
        let theirs = refused.filter(|names| matches!(&cause, HandshakeFailure::Certificate(rule) if !rule.contains(names.as_str())));
        Self { theirs, ..Self::of(peer, cause) }
    }

    fn of(peer: Peer, cause: HandshakeFailure) -> Self {
        Self { peer, cause, theirs: None, ours: None }
    }

    /// That took longer than `limit`.
    pub fn timed_out(peer: Peer, limit: Duration) -> Self {
        Self::of(peer, HandshakeFailure::TimedOut(limit))
    }

    /// Of somebody with this name.
    pub fn of_ours(self, ours: Option<String>) -> Self {
        Self { ours, ..self }
    }

    /// Whether it tells of somebody who speaks TLS and may not come, or whom we may not reach: not of one that is slow, gone, or not of TLS at all.
    pub fn is_refusal(&self) -> bool {
        use HandshakeFailure::{Alert, Certificate, Name, NoCertificate, Protocol};
        matches!(self.cause, Certificate(_) | Name(_) | NoCertificate | Alert(_) | Protocol(_))
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tell(f)?;
        let told = |names: &Option<String>| names.clone().unwrap_or_default();
        match (told(&self.theirs).as_str(), told(&self.ours).as_str()) {
            ("", "") => Ok(()),
            ("", ours) => write!(f, " (ours: {ours})"),
            (theirs, "") => write!(f, " (theirs: {theirs})"),
            (theirs, ours) => write!(f, " (theirs: {theirs}; ours: {ours})"),
        }
    }
}

impl HandshakeError {
    fn tell(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer;
        match &self.cause {
            HandshakeFailure::TimedOut(limit) => {
                write!(f, "the handshake with the {peer} took longer than {}", humantime::format_duration(*limit))
            }
            HandshakeFailure::HungUp => write!(f, "the {peer} hung up during the handshake"),
            HandshakeFailure::Alert(alert) => write!(f, "the {peer} refused the handshake with the alert {alert}"),
            HandshakeFailure::Certificate(rule) | HandshakeFailure::Name(rule) => {
                write!(f, "the {peer}'s certificate was refused: {rule}")
            }
            HandshakeFailure::NoCertificate => write!(f, "the {peer} showed no certificate, which is required"),
            HandshakeFailure::NotTls => write!(f, "the {peer} does not speak TLS"),
            HandshakeFailure::Protocol(problem) => write!(f, "no agreement with the {peer}: {problem}"),
            HandshakeFailure::Io(kind) => write!(f, "the connection with the {peer} failed during the handshake: {kind}"),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// The rule by which the library refuses a certificate.
pub(super) fn rule_of(error: &Error) -> String {
    let cause = of_library(error);
    if let HandshakeFailure::Certificate(rule) | HandshakeFailure::Name(rule) = cause {
        return rule;
    }
    HandshakeError::of(Peer::Server, cause).to_string()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what the library may add is told in its own words")]
fn of_library(error: &Error) -> HandshakeFailure {
    match error {
        Error::AlertReceived(alert) => HandshakeFailure::Alert(alert_name(*alert)),
        Error::InvalidCertificate(CertificateError::Other(inner)) if inner.0.is::<NotAccepted>() => {
            HandshakeFailure::Name(bounded(&inner.0.to_string(), LONGEST_RULE))
        }
        Error::InvalidCertificate(problem) => HandshakeFailure::Certificate(rule(problem)),
        Error::InvalidCertRevocationList(problem) => {
            HandshakeFailure::Certificate(bounded(&format!("its revocation list cannot be used: {problem:?}"), LONGEST_PROBLEM))
        }
        Error::NoCertificatesPresented => HandshakeFailure::NoCertificate,
        Error::InvalidMessage(_) => HandshakeFailure::NotTls,
        other => HandshakeFailure::Protocol(bounded(&other.to_string(), LONGEST_PROBLEM)),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what the library may add is told in its own words")]
fn rule(problem: &CertificateError) -> String {
    let rule = match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "it is not valid yet",
        CertificateError::Revoked => "it is revoked",
        CertificateError::UnknownIssuer => "no trusted authority issued it",
        CertificateError::UnknownRevocationStatus => "no revocation list tells of it",
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the revocation list has expired"
        }
        CertificateError::BadEncoding => "it is malformed",
        CertificateError::BadSignature => "a signature is wrong",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "it is not for this use (extended key usage)",
        // The library says so by these words alone.
        CertificateError::Other(inner) if inner.0.to_string() == "CaUsedAsEndEntity" => "it is an authority's own",
        CertificateError::Other(inner) if inner.0.to_string() == "EndEntityUsedAsCa" => "one that is no authority's has issued it",
        CertificateError::Other(inner) => return bounded(&inner.0.to_string(), LONGEST_RULE),
        other => return bounded(&other.to_string(), LONGEST_PROBLEM),
    };
    rule.to_owned()
}

/// Three names and what is wrong with them.
const LONGEST_RULE: usize = 480;

/// `CertificateExpired` to `certificate_expired`.
fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    for c in format!("{alert:?}").chars() {
        if c.is_ascii_uppercase() && name.ends_with(|last: char| last.is_ascii_lowercase()) {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}
