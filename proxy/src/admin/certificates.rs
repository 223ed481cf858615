//! Certificates in use.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::config::identity::{CertificateSource, SanKind, Trust};
use crate::tls::describe::{self, Description};

/// The TLS settings of a filter chain or a cluster.
#[derive(Clone, Debug)]
pub struct TlsView {
    /// What is shown to peers.
    pub certificates: Vec<CertificateSource>,
    /// What peers must show.
    pub trust: Option<Trust>,
}

/// Written in place of a file's name, as Envoy does.
const IN_PLACE: &str = "<inline>";

/// `envoy.admin.v3.Certificates`. Of a file with several certificates each is shown; Envoy shows the first.
pub(super) fn json(views: &[TlsView], now: SystemTime) -> Value {
    let one = |view: &TlsView| {
        let shown = view.certificates.iter().map(CertificateSource::load);
        let shown: Vec<Value> = shown.flat_map(|pem| of_pem(pem.file.as_deref(), &pem.chain, now)).collect();
        json!({ "ca_cert": view.trust.as_ref().map_or_else(Vec::new, |trust| trusted(trust, now)), "cert_chain": shown })
    };
    json!({ "certificates": views.iter().map(one).collect::<Vec<_>>() })
}

fn trusted(trust: &Trust, now: SystemTime) -> Vec<Value> {
    let trust = trust.validation.load();
    let mut all = trust.trusted_ca.as_ref().map_or_else(Vec::new, |pem| of_pem(trust.trusted_ca_file.as_deref(), pem, now));
    for domain in &trust.trust_domains {
        let file = domain.file.as_deref().unwrap_or(IN_PLACE);
        // As Envoy: the trust domain, and where its bundle is from.
        all.extend(of_pem(Some(&format!("{}: {file}", domain.name)), &domain.roots, now));
    }
    all
}

fn of_pem(file: Option<&str>, pem: &[u8], now: SystemTime) -> Vec<Value> {
    let path = file.unwrap_or(IN_PLACE);
    describe::certificates(pem).iter().map(|certificate| details(path, certificate, now)).collect()
}

fn details(path: &str, certificate: &Description, now: SystemTime) -> Value {
    json!({
        "path": path,
        "serial_number": certificate.serial_number,
        "subject_alt_names": names(certificate),
        "days_until_expiration": days(now, certificate.expires).to_string(),
        "valid_from": humantime::format_rfc3339_seconds(certificate.valid_from).to_string(),
        "expiration_time": humantime::format_rfc3339_seconds(certificate.expires).to_string(),
    })
}

/// As Envoy: names of hosts, then URIs, then addresses; addresses of mail are not told.
fn names(certificate: &Description) -> Vec<Value> {
    let of_kind = |kind: SanKind, field: &'static str| {
        let names = certificate.names.iter().filter(move |(known, _)| *known == kind);
        names.map(move |(_, name)| json!({ field: name }))
    };
    of_kind(SanKind::Dns, "dns").chain(of_kind(SanKind::Uri, "uri")).chain(of_kind(SanKind::Ip, "ip_address")).collect()
}

/// Whole days; 0 when it has expired.
fn days(now: SystemTime, expires: SystemTime) -> u64 {
    expires.duration_since(now).map_or(0, |left| left.as_secs() / SECONDS_OF_DAY)
}

const SECONDS_OF_DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_whole_and_never_negative() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(days(now, now + Duration::from_secs(SECONDS_OF_DAY * 30 - 1)), 29);
        assert_eq!(days(now, now + Duration::from_secs(SECONDS_OF_DAY * 30)), 30);
        assert_eq!(days(now, now - Duration::from_secs(SECONDS_OF_DAY)), 0);
    }
}
