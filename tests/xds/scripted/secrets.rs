use std::sync::Arc;

use ninon_tests::control_plane::{ControlPlane, Dialect, LIMIT};
use ninon_tests::eventually::eventually;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::both;
use super::world::{CLUSTER, LISTENER, ROUTES, SECRET, Services, Sidecar, ads, listener, routes, says, static_cluster};

both!(
    a_listener_waits_for_its_certificate_and_takes_the_next,
    a_bad_certificate_leaves_the_last_good_one,
    a_trust_domain_that_is_gone_loses_its_connections,
);

/// A certificate for `localhost`, and the trust in it alone.
struct Identity {
    pem: String,
    key: String,
    trust: TlsConnector,
}

impl Identity {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let trust = TlsConnector::from(Arc::new(client.with_root_certificates(roots).with_no_client_auth()));
        Self { pem: made.cert.pem(), key: made.signing_key.serialize_pem(), trust }
    }

    fn secret(&self, name: &str) -> Value {
        let certificate = json!({ "certificate_chain": { "inline_string": self.pem }, "private_key": { "inline_string": self.key } });
        json!({ "@type": SECRET, "name": name, "tls_certificate": certificate })
    }

    /// A connection to a server that has this certificate.
    async fn connect(&self, port: u16) -> Option<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        self.trust.connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()
    }

    /// Waits until a server has this certificate.
    async fn serves(&self, port: u16) -> TlsStream<TcpStream> {
        eventually(LIMIT, || self.connect(port)).await.expect("the certificate is served")
    }
}

/// One request on an open connection; its answer is as long as `body`.
async fn asks(stream: &mut TlsStream<TcpStream>, body: &str) {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(format!("\r\n\r\n{body}").as_bytes()) {
        let count = stream.read_buf(&mut read).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&read));
    }
    assert!(read.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&read));
}

fn tls_listener(port: u16, secret: &str) -> Value {
    let mut listener = listener("in", port, "table");
    listener["filter_chains"][0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": { "tls_certificate_sds_secret_configs": [{ "name": secret, "sds_config": ads() }] },
        },
    });
    listener
}

/// Everything but the certificate is there; it has been asked for.
async fn without_certificate(control_plane: &ControlPlane, sidecar: &Sidecar, services: &Services) {
    control_plane.request_of(CLUSTER).await;
    control_plane.send(CLUSTER, "1", &[static_cluster("web", services.port("web"))]);
    control_plane.request_of(LISTENER).await;
    let listeners = control_plane.send(LISTENER, "1", &[tls_listener(sidecar.port, "identity")]);
    assert_eq!(control_plane.request_of(SECRET).await.names(), ["identity"]);
    control_plane.accepted(&listeners).await;
}

async fn a_listener_waits_for_its_certificate_and_takes_the_next(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start(&control_plane);
    control_plane.serve(ROUTES, &[routes("table", "web")]);
    without_certificate(&control_plane, &sidecar, &services).await;
    assert!(!sidecar.is_open().await, "no certificate, no listener");

    let (first, second) = (Identity::new(), Identity::new());
    let nonce = control_plane.send(SECRET, "1", &[first.secret("identity")]);
    control_plane.accepted(&nonce).await;
    let mut early = first.serves(sidecar.port).await;
    asks(&mut early, "web").await;

    let nonce = control_plane.send(SECRET, "2", &[second.secret("identity")]);
    control_plane.accepted(&nonce).await;
    asks(&mut second.serves(sidecar.port).await, "web").await;
    assert!(first.connect(sidecar.port).await.is_none(), "the first is not served any more");
    asks(&mut early, "web").await;
}

async fn a_bad_certificate_leaves_the_last_good_one(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start(&control_plane);
    without_certificate(&control_plane, &sidecar, &services).await;
    let (good, other) = (Identity::new(), Identity::new());
    control_plane.send(SECRET, "1", &[good.secret("identity")]);
    control_plane.request_of(ROUTES).await;
    control_plane.send(ROUTES, "1", &[says("table", "served")]);
    asks(&mut good.serves(sidecar.port).await, "served").await;

    let mut mixed = good.secret("identity");
    mixed["tls_certificate"]["private_key"]["inline_string"] = json!(other.key);
    let mut broken = good.secret("identity");
    broken["tls_certificate"]["certificate_chain"]["inline_string"] =
        json!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for secret in [mixed, broken] {
        let nonce = control_plane.send(SECRET, "2", &[secret]);
        let error = control_plane.refused(&nonce).await;
        assert!(error.contains("identity: tls_certificate"), "{error}");
        assert!(!error.contains("PRIVATE KEY"), "no key is told: {error}");
        asks(&mut good.serves(sidecar.port).await, "served").await;
    }
    let nonce = control_plane.send(SECRET, "3", &[other.secret("identity")]);
    control_plane.accepted(&nonce).await;
    asks(&mut other.serves(sidecar.port).await, "served").await;
}

/// An authority of one trust domain.
struct Domain {
    name: &'static str,
    root: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Domain {
    fn new(name: &'static str) -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        Self { name, root: params.self_signed(&key).unwrap().pem(), issuer: rcgen::Issuer::new(params, key) }
    }

    /// A client of this trust domain, which trusts the certificate of `server`.
    fn client(&self, server: &Identity) -> TlsConnector {
        use rustls::pki_types::pem::PemObject as _;
        let mut params = rcgen::CertificateParams::default();
        let name = format!("spiffe://{}/client", self.name);
        params.subject_alt_names = vec![rcgen::SanType::URI(name.as_str().try_into().unwrap())];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        let key = rcgen::KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(server.pem.as_bytes()).unwrap()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
        TlsConnector::from(Arc::new(config))
    }
}

fn trust_domains(domains: &[&Domain]) -> Value {
    let one = |domain: &&Domain| json!({ "name": domain.name, "trust_bundle": { "inline_string": domain.root } });
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
    let validator = json!({ "@type": kind, "trust_domains": domains.iter().map(one).collect::<Vec<_>>() });
    let validator = json!({ "name": "envoy.tls.cert_validator.spiffe", "typed_config": validator });
    json!({ "@type": SECRET, "name": "ALL", "validation_context": { "custom_validator_config": validator } })
}

/// Asks once on a connection of its own; `None` where the client is refused.
async fn enters(client: &TlsConnector, port: u16) -> Option<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let mut stream = client.connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.ok()?;
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\nserved") {
        stream.read_buf(&mut read).await.ok().filter(|count| *count > 0)?;
    }
    Some(stream)
}

async fn a_trust_domain_that_is_gone_loses_its_connections(dialect: Dialect) {
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start(&control_plane);
    let (a, b, server) = (Domain::new("a.test"), Domain::new("b.test"), Identity::new());
    let mut listener = tls_listener(sidecar.port, "identity");
    let context = &mut listener["filter_chains"][0]["transport_socket"]["typed_config"];
    context["require_client_certificate"] = json!(true);
    context["common_tls_context"]["validation_context_sds_secret_config"] = json!({ "name": "ALL", "sds_config": ads() });
    control_plane.serve(ROUTES, &[says("table", "served")]);
    control_plane.request_of(LISTENER).await;
    control_plane.send(LISTENER, "1", &[listener]);
    control_plane.request_of(SECRET).await;
    let nonce = control_plane.send(SECRET, "1", &[server.secret("identity"), trust_domains(&[&a, &b])]);
    control_plane.accepted(&nonce).await;
    let (of_a, of_b) = (a.client(&server), b.client(&server));
    let port = sidecar.port;
    let mut kept = eventually(LIMIT, || enters(&of_a, port)).await.expect("a client of the first trust domain");
    let mut lost = enters(&of_b, port).await.expect("a client of the second");

    let nonce = control_plane.send(SECRET, "2", &[server.secret("identity"), trust_domains(&[&a])]);
    control_plane.accepted(&nonce).await;
    let ended = async { while lost.read_u8().await.is_ok() {} };
    tokio::time::timeout(LIMIT, ended).await.expect("its connection is closed");
    assert!(enters(&of_b, port).await.is_none(), "and no new one is taken");
    asks(&mut kept, "served").await;

    // A bundle that is none is refused, and the last good one goes on.
    let mut broken = trust_domains(&[&a, &b]);
    broken["validation_context"]["custom_validator_config"]["typed_config"]["trust_domains"][1]["trust_bundle"]["inline_string"] =
        json!("x");
    let nonce = control_plane.send(SECRET, "3", &[server.secret("identity"), broken]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("trust_domains[1].trust_bundle: holds no certificate in PEM"), "{error}");
    assert!(enters(&of_b, port).await.is_none());
    asks(&mut kept, "served").await;

    let nonce = control_plane.send(SECRET, "4", &[server.secret("identity"), trust_domains(&[&b])]);
    control_plane.accepted(&nonce).await;
    assert!(eventually(LIMIT, || enters(&of_b, port)).await.is_some(), "it is back");
    let ended = async { while kept.read_u8().await.is_ok() {} };
    tokio::time::timeout(LIMIT, ended).await.expect("the other's is closed");
}
