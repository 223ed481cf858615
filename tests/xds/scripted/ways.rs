use ninon_tests::control_plane::{ControlPlane, Dialect};
use ninon_tests::process::Folder;
use ninon_tests::{ports, proxy, settings};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use super::world::{Services, Sidecar, address, set_up};

/// Certificates of one authority, in PEM.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key.
    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A proxy whose cluster of the control plane is changed.
fn start(control_plane: &ControlPlane, change: impl FnOnce(&mut Value)) -> Sidecar {
    let change = |bootstrap: &mut Value| change(&mut bootstrap["static_resources"]["clusters"][0]);
    Sidecar::launch(control_plane, &[1], change, proxy::command)
}

async fn is_followed(control_plane: &ControlPlane, sidecar: &Sidecar) {
    let services = Services::start(&["web"]).await;
    set_up(control_plane, sidecar, services.port("web")).await;
    sidecar.answers("/", "web").await;
}

fn at(cluster: &mut Value, address: Value) {
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = address;
}

#[tokio::test]
async fn a_unix_socket() {
    let (control_plane, folder) = (ControlPlane::new(Dialect::Sotw), Folder::new());
    let path = folder.path().join("xds.sock");
    control_plane.listen(&format!("unix:{}", path.display()), None);
    let sidecar = start(&control_plane, |cluster| at(cluster, json!({ "pipe": { "path": path } })));
    is_followed(&control_plane, &sidecar).await;
}

/// TLS of the proxy: whom it trusts, under which name, and who it says it is.
fn client(cluster: &mut Value, port: u16, trusted: &str, name: &str, identity: Option<&(String, String)>) {
    at(cluster, address(port));
    let certificates: Vec<Value> = identity
        .map(|(chain, key)| json!({ "certificate_chain": { "inline_string": chain }, "private_key": { "inline_string": key } }))
        .into_iter()
        .collect();
    cluster["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": name,
            "common_tls_context": {
                "tls_certificates": certificates,
                "alpn_protocols": ["h2"],
                "validation_context": {
                    "trusted_ca": { "inline_string": trusted },
                    "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": name } }],
                },
            },
        },
    });
}

#[tokio::test]
async fn tls_with_certificates_of_both() {
    let (control_plane, authority, port) = (ControlPlane::new(Dialect::Delta), Authority::new(), ports::free());
    let (chain, key) = authority.issue("xds.example", ExtendedKeyUsagePurpose::ServerAuth);
    control_plane.listen(&format!("127.0.0.1:{port}"), Some(json!({ "certificate": chain, "key": key, "clients": authority.pem })));
    let identity = authority.issue("proxy.example", ExtendedKeyUsagePurpose::ClientAuth);
    let sidecar = start(&control_plane, |cluster| client(cluster, port, &authority.pem, "xds.example", Some(&identity)));
    is_followed(&control_plane, &sidecar).await;
}

#[tokio::test]
async fn flags_in_place_of_a_file() {
    let (control_plane, authority, folder) = (ControlPlane::new(Dialect::Delta), Authority::new(), Folder::new());
    let (admin, port) = (ports::free(), ports::free());
    let (chain, key) = authority.issue("xds.example", ExtendedKeyUsagePurpose::ServerAuth);
    control_plane.listen(&format!("127.0.0.1:{port}"), Some(json!({ "certificate": chain, "key": key, "clients": authority.pem })));
    let (chain, key) = authority.issue("proxy.example", ExtendedKeyUsagePurpose::ClientAuth);
    let file = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let flags = [
        ("--xds-address", format!("127.0.0.1:1,127.0.0.1:{port}")),
        ("--xds-server-name", "xds.example".to_owned()),
        ("--xds-ca", file("ca.pem", &authority.pem)),
        ("--xds-certificate", file("chain.pem", &chain)),
        ("--xds-key", file("key.pem", &key)),
        ("--node-id", control_plane.node.clone()),
        ("--admin-address", format!("127.0.0.1:{admin}")),
    ];
    let sidecar = Sidecar::of(&json!({}), admin, |_| {
        let mut command = std::process::Command::new(settings::ninon_binary());
        command.arg("run");
        command.args(flags.iter().flat_map(|(flag, value)| [*flag, value.as_str()]));
        command
    });
    is_followed(&control_plane, &sidecar).await;
}

#[tokio::test]
async fn a_server_that_proves_nothing_is_not_followed() {
    let (control_plane, authority, port) = (ControlPlane::new(Dialect::Sotw), Authority::new(), ports::free());
    let (chain, key) = authority.issue("xds.example", ExtendedKeyUsagePurpose::ServerAuth);
    control_plane.listen(&format!("127.0.0.1:{port}"), Some(json!({ "certificate": chain, "key": key })));
    let stranger = Authority::new().pem;
    let (trusted, name) = (authority.pem.clone(), "xds.example");
    for (trusted, name) in [(stranger.as_str(), name), (trusted.as_str(), "another.example")] {
        let sidecar = start(&control_plane, |cluster| client(cluster, port, trusted, name, None));
        sidecar.counts("control_plane.connect_fail", 3).await;
        let lines = sidecar.complaints();
        assert!(lines.len() == 1 && lines[0].contains("certificate"), "{lines:#?}");
    }
    assert!(control_plane.untaken().is_empty(), "nothing is asked of a stranger");
    let sidecar = start(&control_plane, |cluster| client(cluster, port, &trusted, name, None));
    is_followed(&control_plane, &sidecar).await;
}

#[tokio::test]
async fn metadata_is_sent_with_each_stream() {
    let control_plane = ControlPlane::new(Dialect::Delta);
    let metadata = json!([{ "key": "Authorization", "value": "Bearer of-nobody" }]);
    let change = |bootstrap: &mut Value| bootstrap["dynamic_resources"]["ads_config"]["grpc_services"][0]["initial_metadata"] = metadata;
    let _sidecar = Sidecar::launch(&control_plane, &[control_plane.port()], change, proxy::command);
    for _ in 0..2 {
        let sent = control_plane.opened().await;
        assert_eq!(sent["authorization"], "Bearer of-nobody", "{sent}");
        control_plane.end();
        control_plane.closed().await;
    }
}
