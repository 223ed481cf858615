//! Certificates of authorities: made, read, and signed for one another.

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose,
    SerialNumber,
};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::authority::text::{fingerprint, pem, pin};
use crate::hex;

/// A root that this program makes holds for ten years.
pub(super) const ROOT_LIFE: Duration = Duration::from_secs(3_652 * 86_400);
/// Clocks differ: what is made now is good a little earlier.
pub(super) const BACKDATE: Duration = Duration::from_secs(30);

/// A certificate of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// As it is.
    pub der: CertificateDer<'static>,
    /// What it is told apart by: its SHA-256.
    pub fingerprint: String,
    /// What its key is told apart by.
    pub pin: String,
    /// It holds from then.
    pub not_before: SystemTime,
    /// It holds until then.
    pub not_after: SystemTime,
}

impl Root {
    /// Reads one.
    ///
    /// # Errors
    /// If it is none of an authority.
    pub(super) fn read(der: CertificateDer<'static>) -> Result<Self, String> {
        let (rest, read) = X509Certificate::from_der(&der).map_err(|_| "a certificate cannot be read".to_owned())?;
        if !rest.is_empty() {
            return Err("there are bytes behind a certificate".to_owned());
        }
        if !read.is_ca() {
            return Err(format!("the certificate of {:?} is not that of an authority", read.subject().to_string()));
        }
        let validity = read.validity();
        let (not_before, not_after) = (system_time(validity.not_before), system_time(validity.not_after));
        let pin = pin(read.public_key().raw);
        Ok(Self { fingerprint: fingerprint(&der), pin, not_before, not_after, der })
    }

    /// As PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }
}

pub(super) fn system_time(time: ASN1Time) -> SystemTime {
    u64::try_from(time.timestamp()).map_or(SystemTime::UNIX_EPOCH, |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// A time as certificates have it: in whole seconds.
pub(super) fn asn1(time: SystemTime) -> Option<ASN1Time> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    ASN1Time::from_timestamp(i64::try_from(seconds).ok()?).ok()
}

/// Sets when a certificate holds.
pub(super) fn hold(params: &mut CertificateParams, from: SystemTime, until: SystemTime) -> Result<(), String> {
    let date = |time| asn1(time).ok_or_else(|| "a time is out of range".to_owned());
    (params.not_before, params.not_after) = (date(from)?.to_datetime(), date(until)?.to_datetime());
    Ok(())
}

/// What an authority's certificate calls its key: lists name it so.
pub(super) fn key_identifier(certificate: &CertificateDer<'_>) -> KeyIdMethod {
    let own = X509Certificate::from_der(certificate).ok().and_then(|(_, read)| {
        read.extensions().iter().find_map(|extension| {
            let ParsedExtension::SubjectKeyIdentifier(own) = extension.parsed_extension() else { return None };
            Some(own.0.to_vec())
        })
    });
    own.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified)
}

/// A number that nobody can guess: 126 random bits behind a one, so that all are equally long and none is negative.
pub(super) fn serial() -> Result<SerialNumber, String> {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).map_err(|_| "the system has no randomness".to_owned())?;
    let [first, ..] = &mut bytes;
    *first = (*first & 0x3f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// Makes a root for a trust domain; its key is beside it.
pub(super) fn make(trust_domain: &str, now: SystemTime) -> Result<(Root, KeyPair), String> {
    let failed = |error: rcgen::Error| format!("the root cannot be made: {error}");
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let number = serial()?;
    let mut params = authority(BasicConstraints::Unconstrained);
    // Roots have different names: who trusts two is not to try the one for what the other has signed.
    let name = hex::encode(number.to_bytes().get(..4).unwrap_or_default());
    params.distinguished_name = distinguished(&format!("Ninon root {name}"), trust_domain);
    params.serial_number = Some(number);
    hold(&mut params, now - BACKDATE, now + ROOT_LIFE)?;
    params.custom_extensions = vec![constraint(trust_domain)];
    let made = params.self_signed(&key).map_err(failed)?;
    Ok((Root::read(made.der().clone())?, key))
}

fn distinguished(name: &str, trust_domain: &str) -> DistinguishedName {
    let mut all = DistinguishedName::new();
    all.push(DnType::OrganizationName, trust_domain);
    all.push(DnType::CommonName, name);
    all
}

fn authority(constraints: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Name constraints, critical: URIs of the trust domain's host, and of no other.
fn constraint(trust_domain: &str) -> CustomExtension {
    let host = tagged(0x86, trust_domain.as_bytes());
    let permitted = tagged(0xa0, &tagged(0x30, &host));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], tagged(0x30, &permitted));
    extension.set_criticality(true);
    extension
}

/// A value of DER, of at most 65,535 bytes.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = match (high, low) {
        (0, 0..=127) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

/// The key of `newer`, signed by an older root: who trusts only that one can verify what the newer one signs. It carries no constraint
/// of its own: that of the older root holds for it.
pub(super) fn cross(newer: &Root, newer_key: &KeyPair, older: &Root, older_key: KeyPair, now: SystemTime) -> Result<Root, String> {
    let failed = |error: rcgen::Error| format!("the newer root cannot be signed by the older one: {error}");
    let issuer = rcgen::Issuer::from_ca_cert_der(&older.der, older_key).map_err(failed)?;
    let mut params = authority(BasicConstraints::Constrained(0));
    let (_, read) = X509Certificate::from_der(&newer.der).map_err(|_| "the newer root cannot be read".to_owned())?;
    let name = |mut parts: Box<dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>> + '_>| {
        parts.next().and_then(|part| part.as_str().ok()).unwrap_or_default().to_owned()
    };
    let (common, organization) = (name(Box::new(read.subject().iter_common_name())), name(Box::new(read.subject().iter_organization())));
    params.distinguished_name = distinguished(&common, &organization);
    params.serial_number = Some(serial()?);
    params.use_authority_key_identifier_extension = true;
    hold(&mut params, (now - BACKDATE).max(older.not_before), older.not_after.min(newer.not_after))?;
    let made = params.signed_by(newer_key, &issuer).map_err(failed)?;
    Root::read(made.der().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::extensions::GeneralName;

    #[test]
    fn a_root_is_for_its_trust_domain_and_no_other_is_called_the_same() {
        let now = SystemTime::now();
        let ((one, _), (other, _)) = (make("mesh.example", now).unwrap(), make("mesh.example", now).unwrap());
        assert_ne!(one.pin, other.pin);
        let (_, read) = X509Certificate::from_der(&one.der).unwrap();
        let (_, second) = X509Certificate::from_der(&other.der).unwrap();
        assert_ne!(read.subject(), second.subject());
        let constraints = read.extensions().iter().find(|extension| extension.oid.to_id_string() == "2.5.29.30").unwrap();
        assert!(constraints.critical);
        let ParsedExtension::NameConstraints(constraints) = constraints.parsed_extension() else { panic!() };
        let permitted: Vec<_> = constraints.permitted_subtrees.as_ref().unwrap().iter().map(|tree| &tree.base).collect();
        assert_eq!((permitted, &constraints.excluded_subtrees), (vec![&GeneralName::URI("mesh.example")], &None));
        let life = one.not_after.duration_since(now).unwrap();
        assert!(life <= ROOT_LIFE && life > ROOT_LIFE - Duration::from_secs(2) && one.not_before <= now);
        assert_eq!(read.serial.bits(), 127);
    }

    #[test]
    fn a_newer_root_is_known_by_the_older_one() {
        let now = SystemTime::now();
        let ((older, older_key), (newer, newer_key)) = (make("a.b", now).unwrap(), make("a.b", now).unwrap());
        let cross = cross(&newer, &newer_key, &older, older_key, now).unwrap();
        assert_eq!(cross.pin, newer.pin);
        let (_, read) = X509Certificate::from_der(&cross.der).unwrap();
        let (_, older_read) = X509Certificate::from_der(&older.der).unwrap();
        let (_, newer_read) = X509Certificate::from_der(&newer.der).unwrap();
        assert_eq!((read.subject().as_raw(), read.issuer().as_raw()), (newer_read.subject().as_raw(), older_read.subject().as_raw()));
        read.verify_signature(Some(older_read.public_key())).unwrap();
    }

    #[test]
    fn lengths_are_written_as_der_wants_them() {
        let head = |length: usize| tagged(4, &vec![0; length])[..tagged(4, &vec![0; length]).len() - length].to_vec();
        assert_eq!((head(127), head(128), head(300)), (vec![4, 127], vec![4, 0x81, 128], vec![4, 0x82, 1, 44]));
    }

    #[test]
    fn what_is_no_authoritys_is_no_root() {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::default().self_signed(&key).unwrap();
        assert!(Root::read(leaf.der().clone()).unwrap_err().ends_with("is not that of an authority"));
        assert!(Root::read(CertificateDer::from(vec![1, 2, 3])).is_err());
    }
}
