//! Names in certificates: which are accepted, which are told.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use aws_lc_rs::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, OtherError};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::config::identity::{SanKind, SanMatch};
use crate::exchange::Certificate;
use crate::tls::{bounded, describe};

/// What is told of the owner of a certificate; nothing if it cannot be read.
pub(super) fn facts(der: &CertificateDer<'_>) -> Certificate {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Certificate::default() };
    let names = alternative_names(&certificate).unwrap_or_default();
    let of_kind = |wanted: SanKind| names.iter().filter(|(kind, _)| *kind == wanted).map(|(_, name)| name.clone().into_owned()).collect();
    Certificate {
        uris: of_kind(SanKind::Uri),
        hosts: of_kind(SanKind::Dns),
        addresses: of_kind(SanKind::Ip),
        mails: of_kind(SanKind::Email),
        subject: subject(certificate.subject()),
        issuer: subject(certificate.issuer()),
        serial: describe::serial_number(certificate.raw_serial()),
        fingerprint_256: fingerprint(&SHA256, der),
        fingerprint_1: fingerprint(&SHA1_FOR_LEGACY_USE_ONLY, der),
        valid_from: describe::moment(certificate.validity().not_before),
        expires: describe::moment(certificate.validity().not_after),
    }
}

fn fingerprint(algorithm: &'static Algorithm, der: &[u8]) -> String {
    digest::digest(algorithm, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Host names that a server's certificate is for, lower case: its DNS names, or its common name where it has none (as Envoy).
pub(super) fn hosts(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let names = alternative_names(&certificate).unwrap_or_default();
    let mut hosts: Vec<String> =
        names.iter().filter(|(kind, _)| *kind == SanKind::Dns).map(|(_, name)| name.to_ascii_lowercase()).collect();
    if hosts.is_empty() {
        let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        hosts.extend(common.map(str::to_ascii_lowercase));
    }
    hosts
}

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// To servers.
    Client,
    /// To clients.
    Server,
}

/// Life time and purpose, of a certificate that is trusted itself.
pub(super) fn valid(certificate: &CertificateDer<'_>, now: UnixTime, usage: Usage) -> Result<(), CertificateError> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).ok().and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    let now = now.ok_or(CertificateError::Expired)?;
    let validity = certificate.validity();
    if now < validity.not_before {
        return Err(CertificateError::NotValidYet);
    }
    if now > validity.not_after {
        return Err(CertificateError::Expired);
    }
    let purposes = certificate.extended_key_usage().map_err(|_| CertificateError::BadEncoding)?;
    let fits = purposes.is_none_or(|purposes| match usage {
        Usage::Client => purposes.value.any || purposes.value.client_auth,
        Usage::Server => purposes.value.any || purposes.value.server_auth,
    });
    if fits { Ok(()) } else { Err(CertificateError::InvalidPurpose) }
}

/// A certificate of a trusted authority, for somebody else than is accepted here.
#[derive(Debug)]
pub(super) struct NotAccepted {
    presented: String,
}

impl fmt::Display for NotAccepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.presented.as_str() {
            "" => f.write_str("it has no subject alternative name, and only certain ones are accepted"),
            presented => write!(f, "it is for {presented}, which is not accepted here"),
        }
    }
}

impl std::error::Error for NotAccepted {}

/// A rule of ours as the library's error.
pub(super) fn refused(rule: impl std::error::Error + Send + Sync + 'static) -> CertificateError {
    CertificateError::Other(OtherError(std::sync::Arc::new(rule)))
}

/// One of the certificate's names must fit one of `wanted`. A certificate that cannot be read fits nothing.
pub(super) fn accept(certificate: &CertificateDer<'_>, wanted: &[SanMatch]) -> Result<(), NotAccepted> {
    let parsed = X509Certificate::from_der(certificate);
    let names = parsed.as_ref().ok().and_then(|(_, certificate)| alternative_names(certificate)).unwrap_or_default();
    let fits = |(kind, name): &(SanKind, Cow<'_, str>)| wanted.iter().any(|want| want.kind == *kind && fits(want, name));
    if names.iter().any(fits) { Ok(()) } else { Err(NotAccepted { presented: all(&names) }) }
}

/// Some of the names in a certificate, which need not be accepted; nothing where it has none that can be read.
pub(super) fn of(certificate: &CertificateDer<'_>) -> String {
    let parsed = X509Certificate::from_der(certificate);
    all(&parsed.as_ref().ok().and_then(|(_, certificate)| alternative_names(certificate)).unwrap_or_default())
}

fn all(names: &[(SanKind, Cow<'_, str>)]) -> String {
    told(names.iter().map(|(_, name)| name.as_ref()))
}

fn fits(want: &SanMatch, name: &str) -> bool {
    match (want.kind, want.name.exact()) {
        // As Envoy: host names are compared without case, and the certificate may hold a wildcard.
        (SanKind::Dns, Some(host)) => host_fits(name, host),
        (SanKind::Dns | SanKind::Uri | SanKind::Email | SanKind::Ip, _) => want.name.matches(name.as_bytes()),
    }
}

/// Whether a certificate's DNS name covers `host`: the same, or `*` for the whole leftmost label.
pub(super) fn host_fits(name: &str, host: &str) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let covered = name.strip_prefix("*.").zip(host.split_once('.'));
    covered.is_some_and(|(domain, (label, parent))| !label.is_empty() && domain.eq_ignore_ascii_case(parent))
}

/// How many names of a refused certificate are told.
const NAMES_TOLD: usize = 3;
/// A SPIFFE ID of usual length fits.
const LONGEST_NAME_TOLD: usize = 128;

/// Some of a certificate's names.
pub(super) fn told<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMES_TOLD);
    let told: Vec<String> = names.take(NAMES_TOLD).map(|name| bounded(name, LONGEST_NAME_TOLD)).collect();
    if more == 0 { told.join(", ") } else { format!("{} and {more} more", told.join(", ")) }
}

/// `None` where the extension is malformed or there twice.
pub(super) fn alternative_names<'a>(certificate: &'a X509Certificate<'a>) -> Option<Vec<(SanKind, Cow<'a, str>)>> {
    let Some(extension) = certificate.subject_alternative_name().ok()? else { return Some(Vec::new()) };
    Some(extension.value.general_names.iter().filter_map(alternative_name).collect())
}

fn alternative_name<'a>(name: &'a GeneralName<'a>) -> Option<(SanKind, Cow<'a, str>)> {
    match name {
        GeneralName::DNSName(name) => plain(SanKind::Dns, name),
        GeneralName::URI(name) => plain(SanKind::Uri, name),
        GeneralName::RFC822Name(name) => plain(SanKind::Email, name),
        GeneralName::IPAddress(bytes) => Some((SanKind::Ip, Cow::Owned(address(bytes)?.to_string()))),
        GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

/// These are ASCII without spaces or control characters. Another name is an attempt to be taken for somebody else.
fn plain<'a>(kind: SanKind, name: &'a str) -> Option<(SanKind, Cow<'a, str>)> {
    name.bytes().all(|byte| byte.is_ascii_graphic()).then_some((kind, Cow::Borrowed(name)))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// RFC 2253: the last comes first.
fn subject(name: &X509Name<'_>) -> String {
    let sets: Vec<&x509_parser::x509::RelativeDistinguishedName<'_>> = name.iter_rdn().collect();
    let mut text = String::new();
    for set in sets.into_iter().rev() {
        for (index, attribute) in set.iter().enumerate() {
            if !text.is_empty() {
                text.push(if index == 0 { ',' } else { '+' });
            }
            write_attribute(&mut text, attribute);
        }
    }
    text
}

/// Types by the short names that OpenSSL writes; another is its number.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let number = attribute.attr_type().to_id_string();
    let name = ATTRIBUTES.iter().find(|(known, _)| *known == number).map_or(number.as_str(), |(_, name)| name);
    text.push_str(name);
    text.push('=');
    if let Ok(value) = attribute.as_str() {
        return write_escaped(text, value);
    }
    text.push('#');
    for byte in attribute.as_slice() {
        let _ = write!(text, "{byte:02X}");
    }
}

/// RFC 2253, section 2.4.
fn write_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let edge = (index == 0 && matches!(c, ' ' | '#')) || (index == last && c == ' ');
        if edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
        }
        if c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(text, "\\{byte:02X}");
            }
        } else {
            text.push(c);
        }
    }
}
