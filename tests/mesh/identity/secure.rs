use std::sync::Arc;

use ninon_tests::control_plane::Dialect;
use ninon_tests::process::Process;
use ninon_tests::{envoy, ports, sidecar};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;

/// Of a client without a certificate.
pub(super) fn connector(stranger: &Stranger) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(stranger.text("root.pem").as_bytes()).unwrap()).unwrap();
    // The library would refuse everything below a root that says something of URIs.
    roots.roots.iter_mut().for_each(|root| root.name_constraints = None);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secure_port_speaks_tls_1_3_with_a_hybrid_key_exchange() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    let connect =
        format!("s_client -connect 127.0.0.1:{} -CAfile root.pem -alpn h2 -verify_return_error -verify_ip 127.0.0.1", world.secure_xds);
    let shown = stranger.openssl(&connect);
    for said in ["TLSv1.3", "Server Temp Key: X25519", "ALPN protocol: h2", "Verify return code: 0 (ok)"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    let (worked, shown) = stranger.tries(&format!("{connect} -tls1_2"));
    assert!(!worked && shown.contains("alert protocol version"), "{shown}");

    let connector = connector(&stranger);
    let stream = TcpStream::connect(("127.0.0.1", world.secure_xds)).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

/// A stream of the first request's type.
pub(super) fn ads(stranger: &Stranger, metadata: &Value, more: &Value) -> Value {
    let mut asked = json!({"node": {"id": "cart-1", "metadata": metadata}, "type": LISTENER});
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    stranger.call("ads", &asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_sees_what_its_certificate_may_see() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    stranger.joins("shop", &token(&world, "shop", &[]), 600);
    stranger.joins("bank", &token(&world, "bank", &[]), 600);
    // An inbound listener of the bank, which is nobody else's to see.
    let workload = |account: &str| {
        format!(
            "apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: cart-1, namespace: bank}}\nspec:\n  addresses: [127.0.0.1]\n  \
             serviceAccount: {account}\n  ports: [{{name: http, port: 8080}}]\n  sidecar: {{inbound: '127.0.0.1:15006'}}\n"
        )
    };
    world.apply(&workload("cart"));
    let listeners = |said: &Value| said["resources"].as_array().map_or(0, Vec::len);
    let (shop, bank) = (stranger.with("shop"), stranger.with("bank"));
    assert_eq!(listeners(&ads(&stranger, &json!({"NAMESPACE": "bank"}), &bank)), 2);
    assert_eq!(listeners(&ads(&stranger, &json!({}), &bank)), 2, "the certificate says where it is");
    assert_eq!(listeners(&ads(&stranger, &json!({}), &shop)), 1);

    // What somebody else has given says nothing beside a certificate, and registers nobody.
    let mut beside = shop.clone();
    beside["token"] = json!("eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl");
    assert_eq!(listeners(&ads(&stranger, &json!({"LABELS": {"app": "web"}}), &beside)), 1);
    assert!(!world.does(&["get", "workloads", "-n", "shop", "-o", "name"]).contains("cart-1"));

    let refused = |metadata: Value, more: &Value| {
        let said = ads(&stranger, &metadata, more);
        (said["code"].as_str().unwrap_or_default().to_owned(), said["details"].as_str().unwrap_or_default().to_owned())
    };
    let (code, why) = refused(json!({"NAMESPACE": "bank"}), &shop);
    assert_eq!(
        (code.as_str(), why.contains("its certificate is of spiffe://cluster.local/ns/shop/sa/cart")),
        ("PERMISSION_DENIED", true),
        "{why}"
    );
    assert_eq!(refused(json!({"SERVICE_ACCOUNT": "admin"}), &shop).0, "PERMISSION_DENIED");
    let (code, why) = refused(json!({"NAMESPACE": "bank"}), &json!({}));
    assert_eq!((code.as_str(), why.contains("a certificate of this mesh is needed")), ("UNAUTHENTICATED", true), "{why}");
    let by_token = json!({"token": token(&world, "bank", &[])});
    assert_eq!(refused(json!({"NAMESPACE": "bank"}), &by_token).0, "UNAUTHENTICATED", "a token is for certificates");
    // In its own namespace it is not another account's workload.
    world.apply(&workload("admin"));
    let (code, why) = refused(json!({}), &bank);
    assert_eq!((code.as_str(), why.contains("has service account \"admin\"")), ("PERMISSION_DENIED", true), "{why}");
    // Everybody is told whom to trust, here and on the open port.
    let roots = world.does(&["ca", "roots"]);
    let asked = json!({"type": SECRET, "names": ["ROOTCA"]});
    let mut secure = asked.clone();
    secure.as_object_mut().unwrap().extend(shop.as_object().unwrap().clone());
    for more in [secure, json!({"type": SECRET, "names": ["ROOTCA"], "port": world.xds, "root": null})] {
        let said = if more["port"].is_null() { ads(&stranger, &json!({}), &more) } else { open(&stranger, &more) };
        let secret = said["resources"][0].as_str().unwrap_or_default().to_owned();
        assert!(secret.contains(roots.trim_end()), "{said}");
    }
}

/// The same on the port without TLS.
fn open(stranger: &Stranger, more: &Value) -> Value {
    let mut client = stranger.client();
    let asked = json!({"call": "ads", "port": more["port"], "node": {"id": "x"}, "type": more["type"], "names": more["names"]});
    let mut input = client.stdin.take().unwrap();
    writeln!(input, "{asked}").unwrap();
    let mut line = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
    drop(input);
    client.wait().unwrap();
    serde_json::from_str(&line).unwrap()
}

/// Envoy with the certificate of files, at the secure port. What it is sent names the certificate `default`.
pub(super) async fn with_certificate(world: &World, stranger: &Stranger, name: &str, workload: &str, more: &Value) -> Process {
    let admin = ports::free();
    let mut metadata = json!({"WORKLOAD_NAME": workload});
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let node = json!({"id": workload, "cluster": "tests", "metadata": metadata});
    let mut file = sidecar::bootstrap(&[world.secure_xds], Dialect::Delta, &node, admin);
    let path = |end: &str| json!({"filename": stranger.path(&format!("{name}.{end}"))});
    let san = json!({"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/ninon-system/sa/ninon"}});
    file["static_resources"]["clusters"][0]["transport_socket"] = json!({
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{"certificate_chain": path("pem"), "private_key": path("key")}],
                "validation_context": {"trusted_ca": {"filename": stranger.path("root.pem")}, "match_typed_subject_alt_names": [san]},
                "alpn_protocols": ["h2"],
            },
        },
    });
    let own = json!({"certificate_chain": path("pem"), "private_key": path("key")});
    file["static_resources"]["secrets"] = json!([{"name": "default", "tls_certificate": own}]);
    let folder = Folder::new();
    let written = folder.path().join("bootstrap.json");
    fs::write(&written, file.to_string()).unwrap();
    let mut process = Process::start(envoy::command(&written), folder).unwrap();
    process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}"));
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_is_registered_by_its_certificate() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    stranger.joins("cart", &token(&world, "shop", &["--workload", "cart-1"]), 600);
    let ports = json!({"PORTS": [{"name": "http", "port": 8080}]});
    let _cart = with_certificate(&world, &stranger, "cart", "cart-1", &ports).await;
    let serves = || async {
        let shown: Value = serde_json::from_str(&world.does(&["get", "workloads", "-A", "-o", "json"])).unwrap();
        let item = shown["items"][0].clone();
        (item["status"]["state"] == "serving").then_some(item)
    };
    let item = eventually(LIMIT, serves).await.unwrap_or_else(|| panic!("it is not registered: {}", world.log()));
    assert_eq!((&item["metadata"]["namespace"], &item["spec"]["serviceAccount"]), (&json!("shop"), &json!("cart")));
    let proxy = &world.proxies()[0];
    assert_eq!((&proxy["identity"], &proxy["namespace"]), (&json!("spiffe://cluster.local/ns/shop/sa/cart"), &json!("shop")));
    // What is for one workload is for no other.
    let said = stranger.call("ads", &{
        let mut asked = json!({"node": {"id": "cart-2", "metadata": ports}, "type": LISTENER});
        asked.as_object_mut().unwrap().extend(stranger.with("cart").as_object().unwrap().clone());
        asked
    });
    assert_eq!(said["code"], "PERMISSION_DENIED", "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_certificate() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    stranger.joins("cart", &token(&world, "shop", &[]), 10);
    let _cart = with_certificate(&world, &stranger, "cart", "cart-1", &json!({})).await;
    assert_eq!(world.proxies().len(), 1);
    let gone = || async { world.proxies().is_empty().then_some(()) };
    eventually(LIMIT, gone).await.expect("it is sent away");
    logged(&world, "certificate expired").await;
}
