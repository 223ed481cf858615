//! Who a client is, by its certificate: what Envoy and Ninon write into `x-forwarded-client-cert` and into logs, and what they
//! let it do. Both run on the same file, with the same certificates.

use ninon_tests::anybody::Anybody;
use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{envoy, named, ports, proxy};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, SerialNumber};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const TYPES: &str = "type.googleapis.com/envoy.extensions";
const LIMIT: Duration = Duration::from_secs(10);
/// What a log line tells.
const TOLD: &str = "peer %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_DNS_SAN% %DOWNSTREAM_PEER_IP_SAN% %DOWNSTREAM_PEER_EMAIL_SAN% \
    %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_FINGERPRINT_256% \
    %DOWNSTREAM_PEER_FINGERPRINT_1% %DOWNSTREAM_PEER_CERT_V_START% %DOWNSTREAM_PEER_CERT_V_END(%Y-%m)% \
    local %DOWNSTREAM_LOCAL_URI_SAN% %DOWNSTREAM_LOCAL_DNS_SAN% %DOWNSTREAM_LOCAL_SUBJECT%\n";

/// Certificates of one authority, in files.
struct Pki {
    folder: Folder,
    authority: Issuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "ca");
        params.distinguished_name.push(DnType::OrganizationName, "Test");
        let key = KeyPair::generate().unwrap();
        let folder = Folder::new();
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let pki = Self { folder, authority: Issuer::new(params, key) };
        let uri = |name: &str| SanType::URI(name.try_into().unwrap());
        let host = |name: &str| SanType::DnsName(name.try_into().unwrap());
        pki.issue("server", "server", vec![uri("spiffe://td/ns/x/sa/server"), uri("spiffe://td/other"), host("server.example")]);
        let names = vec![
            uri("spiffe://td/ns/x/sa/alice"),
            uri("spiffe://td/second"),
            host("alice.example"),
            host("a2.example"),
            SanType::Rfc822Name("a@b.example".try_into().unwrap()),
            SanType::IpAddress("10.1.2.3".parse().unwrap()),
        ];
        pki.issue("alice", "Alice \"A\", of; <Acme>", names);
        pki.issue("plain", "plain", vec![host("plain.example")]);
        pki
    }

    fn issue(&self, file: &str, common_name: &str, names: Vec<SanType>) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.serial_number = Some(SerialNumber::from(vec![0x4d, 0x01, 0x00, 0xff]));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.file(&format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{file}.key")), key.serialize_pem()).unwrap();
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn client(&self, who: Option<&str>) -> tokio_rustls::TlsConnector {
        let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Anybody::new());
        let config = match who {
            None => builder.with_no_client_auth(),
            Some(who) => {
                let chain = CertificateDer::pem_file_iter(self.file(&format!("{who}.pem"))).unwrap().map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_file(self.file(&format!("{who}.key"))).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        tokio_rustls::TlsConnector::from(Arc::new(config))
    }
}

pub fn typed(name: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("{TYPES}.{name}"));
    json!({"name": name, "typed_config": config})
}

fn rules(principal: &Value) -> Value {
    json!({"rules": {"policies": {"p": {"permissions": [{"any": true}], "principals": [principal]}}}, "stat_prefix": "guard"})
}

/// A listener that answers by itself, and echoes `x-forwarded-client-cert`.
fn listener(pki: &Pki, port: u16, network: Vec<Value>, http: Vec<Value>, more: &Value) -> Value {
    let echo = json!([{"header": {"key": "echo", "value": "%REQ(x-forwarded-client-cert)%"}}]);
    let route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": echo});
    let filters: Vec<_> = http.into_iter().chain([typed("filters.http.router.v3.Router", json!({}))]).collect();
    let mut manager = json!({
        "stat_prefix": "a", "http_filters": filters, "delayed_close_timeout": "0.05s",
        "route_config": {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [route]}]},
    });
    for (name, value) in more.as_object().unwrap() {
        manager[name] = value.clone();
    }
    let manager = typed("filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
    let filters: Vec<_> = network.into_iter().chain([manager]).collect();
    let file = |name: &str| json!({"filename": pki.file(name)});
    let tls = json!({"require_client_certificate": false, "common_tls_context": {
        "tls_certificates": [{"certificate_chain": file("server.pem"), "private_key": file("server.key")}],
        "validation_context": {"trusted_ca": file("ca.pem")},
    }});
    let tls = typed("transport_sockets.tls.v3.DownstreamTlsContext", tls);
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({"name": port.to_string(), "address": address, "filter_chains": [{"filters": filters, "transport_socket": tls}]})
}

/// Status, `x-forwarded-client-cert` as the server would get it; `None`: closed without an answer.
async fn ask(connector: &tokio_rustls::TlsConnector, port: u16) -> Option<(u16, Option<String>)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut stream = connector.connect("server.example".try_into().unwrap(), stream).await.expect("a handshake");
    let claims = "x-forwarded-client-cert: By=http://x;Hash=00\r\nx-forwarded-client-cert: two\r\n";
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\n{claims}connection: close\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    // A server may close without a word of TLS.
    let _ended = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let echo = answer.lines().find_map(|line| line.strip_prefix("echo: "));
    Some((status, echo.map(str::to_owned)))
}

/// What each client gets at each listener, and the lines of the log.
async fn run(
    pki: &Pki,
    listeners: &[(&str, Vec<Value>, Vec<Value>, Value)],
    program: impl FnOnce(&Path) -> std::process::Command,
) -> (Vec<String>, Vec<String>) {
    let folder = Folder::new();
    let admin = ports::free();
    let log = folder.path().join("log");
    let ports: Vec<u16> = listeners.iter().map(|_| ports::free()).collect();
    let made =
        listeners.iter().zip(&ports).map(|((_, network, http, more), port)| listener(pki, *port, network.clone(), http.clone(), more));
    let whole = json!({
        "node": {"id": "a", "cluster": "a"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "static_resources": {"listeners": made.collect::<Vec<_>>()},
    });
    let file = folder.path().join("bootstrap.json");
    std::fs::write(&file, whole.to_string().replace("{{log}}", &log.display().to_string())).unwrap();
    let mut process = Process::start(program(&file), folder).unwrap();
    process.wait_until_ready(admin).await.unwrap();
    let mut seen = Vec::new();
    for ((name, ..), port) in listeners.iter().zip(ports) {
        for who in [None, Some("alice"), Some("plain")] {
            let answer = tokio::time::timeout(LIMIT, ask(&pki.client(who), port)).await.expect("an answer");
            seen.push(format!("{name} {who:?}: {answer:?}"));
        }
    }
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(eventually(LIMIT, || async { (lines().len() >= 3).then_some(()) }).await.is_some(), "three lines: {:?}", lines());
    (seen, lines())
}

#[tokio::test]
async fn clients_are_told_apart_as_envoy_does() {
    let pki = Pki::new();
    let log = json!([typed(
        "access_loggers.file.v3.FileAccessLog",
        json!({"path": "{{log}}", "log_format": {"text_format_source": {"inline_string": TOLD}}})
    )]);
    let most = json!({"subject": true, "dns": true, "uri": true});
    let all = json!({"subject": true, "dns": true, "uri": true, "cert": true, "chain": true, "issuer": true});
    let xfcc = |details: &str, told: &Value| json!({"forward_client_cert_details": details, "set_current_client_cert_details": told});
    let http = |principal: Value| (vec![], vec![typed("filters.http.rbac.v3.RBAC", without_prefix(rules(&principal)))], json!({}));
    let network = |principal: Value| (vec![typed("filters.network.rbac.v3.RBAC", rules(&principal))], vec![], json!({}));
    let named = |matcher: Value| json!({"authenticated": {"principal_name": matcher}});
    let mut listeners = Vec::new();
    let mut add = |name: &'static str, (network, http, more): (Vec<Value>, Vec<Value>, Value)| listeners.push((name, network, http, more));
    add("log", (vec![], vec![], json!({"access_log": log})));
    add("sanitize", (vec![], vec![], json!({})));
    add("forward", (vec![], vec![], json!({"forward_client_cert_details": "FORWARD_ONLY"})));
    add("always", (vec![], vec![], json!({"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"})));
    add("append", (vec![], vec![], xfcc("APPEND_FORWARD", &most)));
    add("set", (vec![], vec![], xfcc("SANITIZE_SET", &most)));
    add("bare", (vec![], vec![], json!({"forward_client_cert_details": "SANITIZE_SET"})));
    add("all", (vec![], vec![], xfcc("SANITIZE_SET", &all)));
    add("by uri", http(named(json!({"exact": "spiffe://td/second"}))));
    add("by prefix", http(named(json!({"prefix": "spiffe://td/ns/x/"}))));
    add("by host", http(named(json!({"exact": "a2.example"}))));
    add("by subject", http(named(json!({"exact": "CN=plain"}))));
    add("by regex", http(named(json!({"safe_regex": {"regex": "spiffe://[^/]+/ns/x/sa/.*"}}))));
    add("not by uri", http(json!({"not_id": named(json!({"prefix": "spiffe://td/ns/x/"}))})));
    add("by header", http(json!({"header": {"name": "x-forwarded-client-cert"}})));
    add("connects by uri", network(named(json!({"prefix": "spiffe://td/ns/x/"}))));
    add("connects by server name", network(json!({"and_ids": {"ids": [named(json!({"contains": "example"})), {"any": true}]}})));
    let (of_envoy, envoys_lines) = run(&pki, &listeners, envoy::command).await;
    let (of_ninon, ninons_lines) = run(&pki, &listeners, proxy::command).await;
    for (envoy, ninon) in of_envoy.iter().zip(&of_ninon) {
        assert_eq!(ninon, envoy, "Ninon on the left, Envoy on the right");
    }
    assert_eq!(ninons_lines, envoys_lines, "lines of the log, Envoy's on the right");
    let got = |line: &str| of_ninon.iter().any(|seen| seen == line);
    assert!(got(r#"by uri Some("alice"): Some((200, None))"#) && got(r#"by uri Some("plain"): Some((403, None))"#), "{of_ninon:#?}");
    assert!(got(r#"connects by uri None: None"#) && got(r#"sanitize Some("alice"): Some((200, None))"#), "{of_ninon:#?}");
}

/// What a log line tells of an endpoint.
const OF_ENDPOINT: &str = "%UPSTREAM_PEER_URI_SAN% %UPSTREAM_PEER_DNS_SAN% %UPSTREAM_PEER_IP_SAN% %UPSTREAM_PEER_SUBJECT% \
    %UPSTREAM_PEER_ISSUER% %UPSTREAM_TLS_VERSION% %UPSTREAM_TLS_CIPHER%\n";

/// A proxy that is its own endpoint, and what it writes of that.
async fn told_of_endpoint(pki: &Pki, program: impl FnOnce(&Path) -> std::process::Command) -> String {
    let folder = Folder::new();
    let [admin, front, behind] = [ports::free(), ports::free(), ports::free()];
    let log = folder.path().join("log");
    let format = json!({"text_format_source": {"inline_string": OF_ENDPOINT}});
    let manager = json!({
        "stat_prefix": "front",
        "http_filters": [typed("filters.http.router.v3.Router", json!({}))],
        "access_log": [typed("access_loggers.file.v3.FileAccessLog", json!({"path": log, "log_format": format}))],
        "route_config": {"name": "f", "virtual_hosts": [
            {"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "behind"}}]},
        ]},
    });
    let manager = typed("filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
    let at = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let tls = json!({"common_tls_context": {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "validation_context": {"trusted_ca": {"filename": pki.file("ca.pem")}},
    }});
    let whole = json!({
        "node": {"id": "a", "cluster": "a"},
        "admin": {"address": at(admin)},
        "static_resources": {
            "listeners": [
                {"name": "front", "address": at(front), "filter_chains": [{"filters": [manager]}]},
                listener(pki, behind, vec![], vec![], &json!({})),
            ],
            "clusters": [{
                "name": "behind", "type": "STATIC", "transport_socket": typed("transport_sockets.tls.v3.UpstreamTlsContext", tls),
                "load_assignment": {"cluster_name": "behind", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(behind)}}]}]},
            }],
        },
    });
    let file = folder.path().join("bootstrap.json");
    std::fs::write(&file, whole.to_string()).unwrap();
    let mut process = Process::start(program(&file), folder).unwrap();
    process.wait_until_ready(admin).await.unwrap();
    assert_eq!(named::get(front, "/", "host: a\r\n", LIMIT).await.unwrap().0, 200);
    let line = || async { std::fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n')) };
    eventually(LIMIT, line).await.expect("a line")
}

#[tokio::test]
async fn endpoints_are_told_by_their_certificates_as_envoy_does() {
    let pki = Pki::new();
    let (envoy, ninon) = (told_of_endpoint(&pki, envoy::command).await, told_of_endpoint(&pki, proxy::command).await);
    let [(envoy, of_envoy), (ninon, of_ninon)] = [&envoy, &ninon].map(|line| line.trim_end().rsplit_once(' ').unwrap());
    assert_eq!(ninon, envoy, "Envoy on the right");
    assert!(ninon.starts_with("spiffe://td/ns/x/sa/server,spiffe://td/other server.example - ") && ninon.ends_with(" TLSv1.3"), "{ninon}");
    // Each has its own order of what it likes.
    assert!(of_envoy.starts_with("TLS_") && of_ninon.starts_with("TLS_"), "{of_envoy} {of_ninon}");
}

/// A difference on purpose: to Envoy any client of a TLS connection is authenticated, and has an empty name.
#[tokio::test]
async fn a_client_without_a_certificate_is_nobody() {
    let pki = Pki::new();
    let log = json!([typed(
        "access_loggers.file.v3.FileAccessLog",
        json!({"path": "{{log}}", "log_format": {"text_format_source": {"inline_string": TOLD}}})
    )]);
    let with = |principal: Value| vec![typed("filters.http.rbac.v3.RBAC", without_prefix(rules(&principal)))];
    let listeners = [
        ("anybody", vec![], with(json!({"authenticated": {}})), json!({"access_log": log})),
        ("of no name", vec![], with(json!({"authenticated": {"principal_name": {"exact": ""}}})), json!({})),
    ];
    let (envoy, _) = run(&pki, &listeners, envoy::command).await;
    let (ninon, _) = run(&pki, &listeners, proxy::command).await;
    assert_eq!([&envoy[0], &envoy[3]], ["anybody None: Some((200, None))", "of no name None: Some((200, None))"]);
    assert_eq!([&ninon[0], &ninon[3]], ["anybody None: Some((403, None))", "of no name None: Some((403, None))"]);
    assert_eq!([&ninon[1..3], &ninon[4..]], [&envoy[1..3], &envoy[4..]], "who has one is somebody to both");
}

/// The HTTP filter has no such field.
fn without_prefix(mut filter: Value) -> Value {
    filter.as_object_mut().unwrap().remove("stat_prefix");
    filter
}
