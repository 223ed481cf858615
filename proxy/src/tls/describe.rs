//! What a certificate says of itself, for operators.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::config::identity::SanKind;
use crate::tls::names;

/// A certificate, as far as it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// In hexadecimal digits.
    pub serial_number: String,
    /// Subject alternative names.
    pub names: Vec<(SanKind, String)>,
    /// It is not valid before.
    pub valid_from: SystemTime,
    /// It is not valid after.
    pub expires: SystemTime,
}

/// The certificates of a PEM text that can be read, in its order.
pub fn certificates(pem: &[u8]) -> Vec<Description> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    certificates.filter_map(|certificate| describe(&certificate)).collect()
}

/// When a certificate ends; `None` where it cannot be read.
pub fn expires(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    moment(certificate.validity().not_after)
}

fn describe(certificate: &CertificateDer<'_>) -> Option<Description> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = names::alternative_names(&certificate).unwrap_or_default();
    Some(Description {
        serial_number: serial_number(certificate.raw_serial()),
        names: names.into_iter().map(|(kind, name)| (kind, name.into_owned())).collect(),
        valid_from: moment(certificate.validity().not_before)?,
        expires: moment(certificate.validity().not_after)?,
    })
}

/// Without the zero byte that makes the number positive.
pub(super) fn serial_number(bytes: &[u8]) -> String {
    let digits = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `None` before 1970.
pub(super) fn moment(time: ASN1Time) -> Option<SystemTime> {
    let seconds = u64::try_from(time.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_written_byte_by_byte() {
        assert_eq!(serial_number(&[0, 0xff, 1]), "ff01");
        assert_eq!(serial_number(&[0x0b, 0xf2]), "0bf2");
        assert_eq!(serial_number(&[0]), "00");
    }

    #[test]
    fn what_is_no_certificate_is_left_out() {
        let made = rcgen::generate_simple_self_signed(["www.test".to_owned()]).unwrap().cert.pem();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let read = certificates(format!("{broken}{made}").as_bytes());
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].names, [(SanKind::Dns, "www.test".to_owned())]);
        assert!(read[0].valid_from < read[0].expires);
    }
}
