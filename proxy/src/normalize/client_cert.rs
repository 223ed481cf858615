use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::http::{ClientCert, ClientCertParts};
use crate::exchange::certificate::encoded_pem;
use crate::exchange::{ConnectionInfo, TlsInfo};
use crate::normalize::forwarded;

const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Applies the listener's rule for `x-forwarded-client-cert`: what a client says is kept only where the rule trusts it, and unless the
/// rule trusts everybody, only if it has shown a certificate that was verified.
///
/// Source: envoyproxy.io, "HTTP header manipulation", `x-forwarded-client-cert`.
pub(super) fn apply(setting: ClientCert, connection: &ConnectionInfo, headers: &mut HeaderMap) {
    let verified = connection.tls.as_ref().filter(|tls| tls.terminated && tls.peer_validated);
    match (setting, verified) {
        (ClientCert::AlwaysForward, _) | (ClientCert::Forward, Some(_)) => {}
        (ClientCert::Sanitize, _) | (ClientCert::Forward | ClientCert::Append(_) | ClientCert::Set(_), None) => {
            headers.remove(X_FORWARDED_CLIENT_CERT);
        }
        (ClientCert::Append(parts), Some(tls)) => match HeaderValue::try_from(element(parts, tls)) {
            Ok(element) => forwarded::append(headers, X_FORWARDED_CLIENT_CERT, &element, ","),
            Err(_) => drop(headers.remove(X_FORWARDED_CLIENT_CERT)),
        },
        (ClientCert::Set(parts), Some(tls)) => {
            headers.remove(X_FORWARDED_CLIENT_CERT);
            if let Ok(element) = HeaderValue::try_from(element(parts, tls)) {
                headers.insert(X_FORWARDED_CLIENT_CERT, element);
            }
        }
    }
}

/// What is known of one client, in the order in which Envoy writes it.
fn element(parts: ClientCertParts, tls: &TlsInfo) -> String {
    let mut out = String::new();
    if let Some(local) = &tls.local {
        local.uris.iter().for_each(|uri| push(&mut out, "By", uri));
    }
    let Some(peer) = &tls.peer else { return out };
    push(&mut out, "Hash", &peer.fingerprint_256);
    if parts.certificate {
        push_quoted(&mut out, "Cert", &encoded_pem(tls.peer_chain.iter().take(1)));
    }
    if parts.chain {
        push_quoted(&mut out, "Chain", &encoded_pem(tls.peer_chain.iter()));
    }
    if parts.subject {
        push_quoted(&mut out, "Subject", &peer.subject);
    }
    if parts.uris {
        push_each(&mut out, "URI", &peer.uris);
    }
    if parts.hosts {
        push_each(&mut out, "DNS", &peer.hosts);
    }
    if parts.issuer {
        push_quoted(&mut out, "Issuer", &peer.issuer);
    }
    out
}

/// As Envoy: a key without a value where there is none, but for DNS names.
fn push_each(out: &mut String, key: &str, values: &[String]) {
    if values.is_empty() && key == "URI" {
        push(out, key, "");
    }
    values.iter().for_each(|value| push(out, key, value));
}

/// A value that could be taken for more than one is quoted.
fn push(out: &mut String, key: &str, value: &str) {
    if value.contains([';', ',', '"', '\\', '=']) && key != "Hash" {
        return push_quoted(out, key, &value.replace('\\', "\\\\").replace('"', "\\\""));
    }
    begin(out, key);
    out.push_str(value);
}

/// `value` has its quotes escaped.
fn push_quoted(out: &mut String, key: &str, value: &str) {
    begin(out, key);
    out.push('"');
    out.push_str(value);
    out.push('"');
}

fn begin(out: &mut String, key: &str) {
    if !out.is_empty() {
        out.push(';');
    }
    out.push_str(key);
    out.push('=');
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::*;
    use crate::config::ListenerName;
    use crate::config::address::Address;
    use crate::exchange::Certificate;

    const ALL: ClientCertParts = ClientCertParts { certificate: false, chain: false, subject: true, uris: true, hosts: true, issuer: true };

    fn connection(tls: Option<TlsInfo>) -> ConnectionInfo {
        let address = Address::Ip("10.0.0.1:1".parse().unwrap());
        ConnectionInfo {
            id: 1,
            local: address.clone(),
            redirected: false,
            peer: address.clone(),
            client: address,
            listener: ListenerName::from("l"),
            tls,
            started: Instant::now(),
            termination: OnceCell::new(),
            dialled_proxy: false,
            source: None,
        }
    }

    fn mutual(uri: &str) -> TlsInfo {
        let peer = Certificate {
            uris: vec![uri.to_owned()],
            subject: "CN=b".to_owned(),
            issuer: "CN=ca".to_owned(),
            fingerprint_256: "00ff".to_owned(),
            ..Certificate::default()
        };
        let local = Certificate { uris: vec!["spiffe://td/a".to_owned()], ..Certificate::default() };
        TlsInfo {
            terminated: true,
            peer_presented: true,
            peer_validated: true,
            peer: Some(Box::new(peer)),
            local: Some(Arc::new(local)),
            peer_chain: vec![b"certificate".to_vec()],
            ..TlsInfo::default()
        }
    }

    fn after(setting: ClientCert, tls: Option<TlsInfo>) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_CLIENT_CERT, HeaderValue::from_static("By=x"));
        apply(setting, &connection(tls), &mut headers);
        headers.get(X_FORWARDED_CLIENT_CERT).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_a_client_says_is_kept_only_where_it_is_trusted() {
        let kept = Some("By=x".to_owned());
        let unverified = TlsInfo { peer_validated: false, ..mutual("spiffe://td/b") };
        for nobody in [None, Some(TlsInfo { terminated: true, ..TlsInfo::default() }), Some(unverified)] {
            assert_eq!(after(ClientCert::AlwaysForward, nobody.clone()), kept);
            for setting in [ClientCert::Sanitize, ClientCert::Forward, ClientCert::Append(ALL), ClientCert::Set(ALL)] {
                assert_eq!(after(setting, nobody.clone()), None, "{setting:?}");
            }
        }
        let somebody = || Some(mutual("spiffe://td/b"));
        assert_eq!(after(ClientCert::Sanitize, somebody()), None);
        assert_eq!(after(ClientCert::Forward, somebody()), kept);
        let told = r#"By=spiffe://td/a;Hash=00ff;Subject="CN=b";URI=spiffe://td/b;Issuer="CN=ca""#;
        assert_eq!(after(ClientCert::Set(ALL), somebody()).as_deref(), Some(told));
        assert_eq!(after(ClientCert::Append(ALL), somebody()), Some(format!("By=x,{told}")));
    }

    #[test]
    fn a_name_cannot_pretend_to_be_more_than_one() {
        let only_uris = ClientCertParts { uris: true, ..ClientCertParts::default() };
        let told = after(ClientCert::Set(only_uris), Some(mutual(r#"spiffe://td/b;URI="x",By=y"#))).unwrap();
        assert_eq!(told, r#"By=spiffe://td/a;Hash=00ff;URI="spiffe://td/b;URI=\"x\",By=y""#);
    }

    #[test]
    fn certificates_are_percent_encoded_pem() {
        let certificates = ClientCertParts { certificate: true, chain: true, ..ClientCertParts::default() };
        let told = after(ClientCert::Set(certificates), Some(mutual("spiffe://td/b"))).unwrap();
        let pem = "-----BEGIN%20CERTIFICATE-----%0AY2VydGlmaWNhdGU%3D%0A-----END%20CERTIFICATE-----%0A";
        assert_eq!(told, format!(r#"By=spiffe://td/a;Hash=00ff;Cert="{pem}";Chain="{pem}""#));
    }
}
