//! Who signs. An authority has one at a time; another program's authority can be one, too.

use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::CertificateDer;

use crate::authority::certificate::{self, BACKDATE, Root, asn1};
use crate::authority::limits;
use crate::authority::lists::Entry;
use crate::authority::revocation::Reason;
use crate::hex;
use crate::model::identity::Identity;
use crate::model::limits::Limits;

/// Something that takes time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a certificate is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who its bearer is.
    pub identity: Identity,
    /// The only workload that it is for.
    pub workload: Option<String>,
    /// What its bearer may register.
    pub limits: Limits,
    /// By which names servers are called that are no workloads: the control plane.
    pub hosts: Vec<String>,
    /// It is not to hold before that, even if clocks differ.
    pub not_before: Option<SystemTime>,
    /// The public key, as certificates have it.
    pub key: Vec<u8>,
    /// How long it is to hold.
    pub ttl: Duration,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// It, and what lies between it and the root; the root is not among them.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its number, in hexadecimal digits.
    pub serial: String,
    /// It holds from then.
    pub not_before: SystemTime,
    /// It holds until then.
    pub not_after: SystemTime,
}

/// Signs certificates.
pub trait Issuer: Send + Sync + fmt::Debug {
    /// Makes a certificate.
    ///
    /// # Errors
    /// Why it cannot.
    fn issue<'a>(&'a self, order: &'a Order) -> Later<'a, Result<Issued, String>>;

    /// Signs a list of revoked certificates (DER), which is good until some time.
    ///
    /// # Errors
    /// Why it cannot; one that keeps its list itself says so.
    fn list(&self, entries: &[Entry], now: SystemTime, until: SystemTime) -> Result<Vec<u8>, String> {
        let _unread = (entries, now, until);
        Err("who signs keeps its list of revoked certificates itself".to_owned())
    }
}

/// Signs with a key that is here.
pub(super) struct Local {
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: Root,
    /// From its own certificate to the root, which is not among them. Empty, if it is the root.
    above: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("certificate", &self.certificate.fingerprint).finish_non_exhaustive()
    }
}

impl Local {
    pub(super) fn new(certificate: Root, key: KeyPair, above: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate.der, key);
        let issuer = issuer.map_err(|error| format!("the authority's certificate is not understood: {error}"))?;
        Ok(Self { issuer, certificate, above })
    }

    fn sign(&self, order: &Order) -> Result<Issued, String> {
        let now = SystemTime::now();
        let (earliest, not_after) = (self.certificate.not_before, (now + order.ttl).min(self.certificate.not_after));
        let not_before = order.not_before.map_or(now - BACKDATE, |not_before| not_before.max(now - BACKDATE)).max(earliest);
        if not_after <= now || self.certificate.not_before > now {
            return Err("the authority's own certificate does not hold now".to_owned());
        }
        let key = SubjectPublicKeyInfo::from_der(&order.key).map_err(|error| format!("the key is not understood: {error}"))?;
        let mut params = CertificateParams::default();
        certificate::hold(&mut params, not_before, not_after)?;
        let serial = certificate::serial()?;
        let number = hex::encode(&serial.to_bytes());
        params.serial_number = Some(serial);
        params.distinguished_name = DistinguishedName::new();
        if let Some(workload) = &order.workload {
            params.distinguished_name.push(DnType::CommonName, workload.as_str());
        }
        let written = |text: &str| text.try_into().map_err(|_| format!("{text:?} cannot be in a certificate"));
        params.subject_alt_names.push(SanType::URI(written(&order.identity.to_string())?));
        for host in &order.hosts {
            params
                .subject_alt_names
                .push(host.parse().map_or_else(|_| written(host).map(SanType::DnsName), |ip| Ok(SanType::IpAddress(ip)))?);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.custom_extensions.extend(limits::extension(&order.limits)?);
        let made = params.signed_by(&key, &self.issuer).map_err(|error| format!("the certificate cannot be signed: {error}"))?;
        let chain = std::iter::once(made.der().clone()).chain(self.above.iter().cloned()).collect();
        Ok(Issued { chain, serial: number, not_before, not_after })
    }
}

impl Issuer for Local {
    fn issue<'a>(&'a self, order: &'a Order) -> Later<'a, Result<Issued, String>> {
        // Some tens of microseconds: not worth another thread.
        Box::pin(ready(self.sign(order)))
    }

    fn list(&self, entries: &[Entry], now: SystemTime, until: SystemTime) -> Result<Vec<u8>, String> {
        let date = |time| asn1(time).map(|time| time.to_datetime()).ok_or_else(|| "a time is out of range".to_owned());
        let one = |entry: &Entry| -> Result<RevokedCertParams, String> {
            let serial_number = SerialNumber::from_slice(&entry.serial);
            let reason_code = reason(entry.reason);
            Ok(RevokedCertParams { serial_number, revocation_time: date(entry.since)?, reason_code, invalidity_date: None })
        };
        let number = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let params = CertificateRevocationListParams {
            this_update: date(now - BACKDATE)?,
            next_update: date(until)?,
            // Later lists have greater numbers, whichever control plane signs them.
            crl_number: SerialNumber::from(u64::try_from(number.as_millis()).unwrap_or(u64::MAX)),
            issuing_distribution_point: None,
            revoked_certs: entries.iter().map(one).collect::<Result<_, _>>()?,
            key_identifier_method: certificate::key_identifier(&self.certificate.der),
        };
        let signed =
            params.signed_by(&self.issuer).map_err(|error| format!("the list of revoked certificates cannot be signed: {error}"))?;
        Ok(signed.der().to_vec())
    }
}

/// Nothing is said of it where there is nothing to say.
const fn reason(reason: Reason) -> Option<RevocationReason> {
    match reason {
        Reason::Unspecified => None,
        Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
        Reason::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
        Reason::Superseded => Some(RevocationReason::Superseded),
        Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        Reason::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
    }
}
