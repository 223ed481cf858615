//! Whom to trust by trust domain (`SPIFFECertValidatorConfig`): whom Envoy and Ninon let in, and to whom they go. Both run on the same
//! file, with the same certificates, and the servers that they go to are Envoy's.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ninon_tests::anybody::Anybody;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{envoy, ports, proxy, wire};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::identity::typed;
use crate::world::{LIMIT, address};

/// Who there is: whose certificate, and the names in it.
const PEERS: &[(&str, &str, &[&str])] = &[
    ("alice", "a", &["spiffe://a.test/alice"]),
    ("bob", "b", &["spiffe://b.test/bob"]),
    ("alice by b", "b", &["spiffe://a.test/alice"]),
    ("bob by a", "a", &["spiffe://b.test/bob"]),
    ("host and alice", "a", &["alice.example", "spiffe://a.test/alice"]),
    ("of c", "a", &["spiffe://c.test/carol"]),
    ("host", "a", &["alice.example"]),
    ("nobody", "a", &[]),
    ("web page", "a", &["https://a.test/alice"]),
    ("domain itself", "a", &["spiffe://a.test"]),
];

/// Certificates of two authorities, in files.
struct Pki(Folder);

impl Pki {
    fn new() -> Self {
        let pki = Self(Folder::new());
        let authorities = ["a", "b"].map(|name| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            std::fs::write(pki.file(&format!("{name}.ca")), params.self_signed(&key).unwrap().pem()).unwrap();
            (name, Issuer::new(params, key))
        });
        let signs = |params: &mut CertificateParams| params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        for (name, by, names) in PEERS {
            let (_, authority) = authorities.iter().find(|(known, _)| known == by).unwrap();
            pki.issue(name, authority, names, signs);
        }
        let (a, alice) = (&authorities[0].1, "spiffe://a.test/alice");
        // Who may sign is no workload, nor who does not say that he may not.
        pki.issue("authority", a, &[alice], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
        pki.issue("signs lists", a, &[alice], |params| {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]
        });
        pki.issue("no usage", a, &[alice], |_| {});
        pki.issue("two", a, &[alice, "spiffe://a.test/other"], signs);
        pki
    }

    fn issue(&self, file: &str, authority: &Issuer<'_, KeyPair>, names: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::default();
        let name = |name: &&str| match name.contains("://") {
            true => SanType::URI((*name).try_into().unwrap()),
            false => SanType::DnsName((*name).try_into().unwrap()),
        };
        params.distinguished_name.push(DnType::CommonName, file);
        params.subject_alt_names = names.iter().map(name).collect();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        std::fs::write(self.file(&format!("{file}.pem")), params.signed_by(&key, authority).unwrap().pem()).unwrap();
        std::fs::write(self.file(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn shown(&self, who: &str) -> Value {
        let file = |end: &str| json!({"filename": self.file(&format!("{who}.{end}"))});
        json!([{"certificate_chain": file("pem"), "private_key": file("key")}])
    }

    /// Both trust domains, and one of these names.
    fn trust(&self, names: &Value) -> Value {
        let domain = |name: &str| json!({"name": format!("{name}.test"), "trust_bundle": {"filename": self.file(&format!("{name}.ca"))}});
        let domains = json!({"trust_domains": [domain("a"), domain("b")]});
        let mut validator = typed("transport_sockets.tls.v3.SPIFFECertValidatorConfig", domains);
        validator["name"] = json!("envoy.tls.cert_validator.spiffe");
        json!({"custom_validator_config": validator, "match_typed_subject_alt_names": names})
    }

    fn client(&self, who: Option<&str>) -> TlsConnector {
        let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Anybody::new());
        let config = match who {
            None => builder.with_no_client_auth(),
            Some(who) => {
                let chain = CertificateDer::pem_file_iter(self.file(&format!("{who}.pem"))).unwrap().map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_file(self.file(&format!("{who}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

fn peers() -> impl Iterator<Item = &'static str> {
    PEERS.iter().map(|(name, ..)| *name).chain(["authority", "signs lists", "no usage"])
}

/// A listener whose answers are its own, or a cluster's.
pub fn listener(port: u16, action: &Value, tls: Option<Value>) -> Value {
    let mut route = json!({"match": {"prefix": "/"}});
    for (name, value) in action.as_object().unwrap() {
        route[name] = value.clone();
    }
    let manager = json!({
        "stat_prefix": "a", "http_filters": [typed("filters.http.router.v3.Router", json!({}))],
        "route_config": {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]},
    });
    let manager = typed("filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
    let mut chain = json!({"filters": [manager]});
    if let Some(tls) = tls {
        chain["transport_socket"] = typed("transport_sockets.tls.v3.DownstreamTlsContext", tls);
    }
    json!({"name": port.to_string(), "address": address(port), "filter_chains": [chain]})
}

/// A program that serves these.
async fn serving(program: fn(&Path) -> Command, listeners: Vec<Value>, clusters: Vec<Value>) -> Process {
    let folder = Folder::new();
    let admin = ports::free();
    let whole = json!({
        "node": {"id": "a", "cluster": "a"},
        "admin": {"address": address(admin)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    });
    let file = folder.path().join("bootstrap.json");
    std::fs::write(&file, whole.to_string()).unwrap();
    let mut process = Process::start(program(&file), folder).unwrap();
    process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}: {}", process.log()));
    process
}

/// Whether there is an answer.
async fn is_let_in(connector: &TlsConnector, port: u16) -> bool {
    let asks = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let mut stream = connector.connect("server.example".try_into().unwrap(), stream).await.ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut answer = Vec::new();
        let _ended = stream.read_to_end(&mut answer).await;
        answer.starts_with(b"HTTP/1.1 200 ").then_some(())
    };
    tokio::time::timeout(LIMIT, asks).await.expect("an end").is_some()
}

fn names() -> [(&'static str, Value); 3] {
    let uri = |matcher: Value| json!({"san_type": "URI", "matcher": matcher});
    [
        ("anybody", json!([])),
        ("alice", json!([uri(json!({"exact": "spiffe://a.test/alice"}))])),
        ("all of b", json!([uri(json!({"prefix": "spiffe://b.test/"})), uri(json!({"exact": "nothing"}))])),
    ]
}

async fn clients_of(program: fn(&Path) -> Command, pki: &Pki) -> Vec<String> {
    let direct = json!({"direct_response": {"status": 200}});
    let mut places = Vec::new();
    let mut listeners = Vec::new();
    for required in [true, false] {
        for (name, wanted) in names() {
            let port = ports::free();
            let common = json!({"tls_certificates": pki.shown("alice"), "validation_context": pki.trust(&wanted)});
            let tls = json!({"require_client_certificate": required, "common_tls_context": common});
            listeners.push(listener(port, &direct, Some(tls)));
            places.push((format!("{name}, required {required}"), port));
        }
    }
    let _process = serving(program, listeners, Vec::new()).await;
    let mut seen = Vec::new();
    for (place, port) in places {
        for who in peers().map(Some).chain([None]) {
            seen.push(format!("{place}: {who:?} {}", is_let_in(&pki.client(who), port).await));
        }
    }
    seen
}

#[tokio::test]
async fn clients_are_let_in_as_envoy_does() {
    let pki = Pki::new();
    let envoy = clients_of(envoy::command, &pki).await;
    let ninon = clients_of(proxy::command, &pki).await;
    assert_eq!(ninon, envoy, "Ninon on the left, Envoy on the right");
    let in_both = |line: &str| ninon.iter().any(|seen| seen == line);
    for line in [
        r#"anybody, required true: Some("alice") true"#,
        r#"anybody, required true: Some("bob") true"#,
        r#"anybody, required true: Some("alice by b") false"#,
        r#"anybody, required true: Some("bob by a") false"#,
        r#"all of b, required true: Some("alice") false"#,
        "anybody, required false: None false",
    ] {
        assert!(in_both(line), "{line}: {ninon:#?}");
    }
}

async fn servers_of(program: fn(&Path) -> Command, pki: &Pki, servers: &[(&'static str, u16)]) -> Vec<String> {
    let (mut listeners, mut clusters, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (name, wanted)) in names().into_iter().enumerate() {
        for (who, server) in servers {
            let (port, cluster) = (ports::free(), format!("{index}-{server}"));
            listeners.push(listener(port, &json!({"route": {"cluster": cluster}}), None));
            let mut made = crate::world::cluster(&cluster, *server);
            let tls = json!({"common_tls_context": {"validation_context": pki.trust(&wanted)}});
            made["transport_socket"] = typed("transport_sockets.tls.v3.UpstreamTlsContext", tls);
            clusters.push(made);
            places.push((format!("{name}: {who}"), port));
        }
    }
    let _process = serving(program, listeners, clusters).await;
    let mut seen = Vec::new();
    for (place, port) in places {
        let (status, body) = wire::get(port, "/").await.unwrap();
        seen.push(format!("{place} {status}"));
        assert!(status == 200 || status == 503, "{place}: {status} {body}");
    }
    seen
}

#[tokio::test]
async fn servers_are_trusted_as_envoy_does() {
    let pki = Pki::new();
    let servers: Vec<(&str, u16)> = peers().map(|who| (who, ports::free())).collect();
    let shows = |(who, port): &(&str, u16)| {
        let tls = json!({"common_tls_context": {"tls_certificates": pki.shown(who)}});
        listener(*port, &json!({"direct_response": {"status": 200}}), Some(tls))
    };
    let _servers = serving(envoy::command, servers.iter().map(shows).collect(), Vec::new()).await;
    let envoy = servers_of(envoy::command, &pki, &servers).await;
    let ninon = servers_of(proxy::command, &pki, &servers).await;
    assert_eq!(ninon, envoy, "Ninon on the left, Envoy on the right");
    for line in ["anybody: alice 200", "anybody: bob 200", "anybody: alice by b 503", "anybody: bob by a 503", "alice: bob 503"] {
        assert!(ninon.iter().any(|seen| seen == line), "{line}: {ninon:#?}");
    }
}

/// A difference on purpose: X509-SVID allows one URI only, and Envoy takes the first of several.
#[tokio::test]
async fn a_certificate_with_two_uris_is_nobodys() {
    let pki = Pki::new();
    let mut seen = Vec::new();
    for program in [envoy::command, proxy::command] {
        let port = ports::free();
        let common = json!({"tls_certificates": pki.shown("alice"), "validation_context": pki.trust(&json!([]))});
        let tls = json!({"require_client_certificate": true, "common_tls_context": common});
        let _process = serving(program, vec![listener(port, &json!({"direct_response": {"status": 200}}), Some(tls))], Vec::new()).await;
        seen.push(is_let_in(&pki.client(Some("two")), port).await);
    }
    assert_eq!(seen, [true, false], "Envoy, Ninon");
}
