use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use ninon_tests::control_plane::{ControlPlane, Dialect, LIMIT};
use ninon_tests::eventually::eventually;
use ninon_tests::process::Folder;
use ninon_tests::{envoy, ports, proxy};
use serde_json::{Value, json};

use super::scripted::world::{
    CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, Services, Sidecar, address, ads, cluster, endpoints, listener, routes, says,
};

/// A folder with a file for each type.
struct Files(Folder);

impl Files {
    fn new() -> Self {
        Self(Folder::new())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file beside and moves it to its place, as Envoy asks for.
    fn put(&self, name: &str, resources: &[Value]) {
        let mut resources = json!(resources);
        self.lead_to_files(&mut resources);
        self.put_text(name, &json!({ "version_info": "1", "resources": resources }).to_string());
    }

    fn put_text(&self, name: &str, text: &str) {
        let beside = self.path("beside");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, self.path(name)).unwrap();
    }

    fn source(&self, name: &str) -> Value {
        json!({ "path_config_source": { "path": self.path(name) }, "resource_api_version": "V3" })
    }

    /// What would be asked of a server is in files instead.
    fn lead_to_files(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if *value == ads() {
                        *value = self.source(match name.as_str() {
                            "eds_config" => "eds.json",
                            "sds_config" => "sds.json",
                            _ => "rds.json",
                        });
                    }
                    self.lead_to_files(value);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.lead_to_files(value)),
            _ => {}
        }
    }

    /// A proxy that knows these files alone.
    fn start(&self, program: fn(&Path) -> Command) -> Sidecar {
        let admin = ports::free();
        let bootstrap = json!({
            "node": { "id": "files", "cluster": "files" },
            "admin": { "address": address(admin) },
            "dynamic_resources": { "cds_config": self.source("cds.json"), "lds_config": self.source("lds.json") },
        });
        Sidecar::of(&bootstrap, admin, program)
    }
}

async fn everything_comes_from_files_and_follows_them(program: fn(&Path) -> Command) {
    let services = Services::start(&["web", "other"]).await;
    let files = Files::new();
    let port = ports::free();
    files.put("eds.json", &[endpoints("web", &[services.port("web")])]);
    files.put("cds.json", &[cluster("web")]);
    files.put("rds.json", &[routes("table", "web")]);
    files.put("lds.json", &[listener("in", port, "table")]);
    let mut sidecar = files.start(program);
    sidecar.port = port;
    sidecar.answers("/", "web").await;
    files.put("eds.json", &[endpoints("web", &[services.port("other")])]);
    sidecar.answers("/", "other").await;
    files.put("rds.json", &[says("table", "said")]);
    sidecar.answers("/", "said").await;
    files.put("lds.json", &[]);
    sidecar.is_closed().await;
}

#[tokio::test]
async fn everything_comes_from_files_and_follows_them_here() {
    everything_comes_from_files_and_follows_them(proxy::command).await;
}

#[tokio::test]
async fn everything_comes_from_files_and_follows_them_in_envoy() {
    everything_comes_from_files_and_follows_them(envoy::command).await;
}

#[tokio::test]
async fn a_listener_of_a_file_whose_port_is_taken_leaves_the_one_before() {
    let files = Files::new();
    let port = ports::free();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    files.put("cds.json", &[]);
    files.put("rds.json", &[says("table", "said")]);
    files.put("lds.json", &[listener("in", port, "table")]);
    let mut sidecar = files.start(proxy::command);
    sidecar.port = port;
    sidecar.answers("/", "said").await;
    let moved = listener("in", taken.local_addr().unwrap().port(), "table");
    files.put("lds.json", std::slice::from_ref(&moved));
    sidecar.counts("control_plane.listeners_refused", 1).await;
    assert!(sidecar.process.log().contains("Address already in use"), "{}", sidecar.process.log());
    sidecar.answers("/", "said").await;
    sidecar.port = taken.local_addr().unwrap().port();
    drop(taken);
    files.put("lds.json", &[moved]);
    sidecar.answers("/", "said").await;
}

/// Envoy refuses a file with more than one assignment.
#[tokio::test]
async fn a_file_holds_the_endpoints_of_several_clusters() {
    let services = Services::start(&["web", "other"]).await;
    let files = Files::new();
    let port = ports::free();
    let of = |name: &str, service: &str| endpoints(name, &[services.port(service)]);
    files.put("eds.json", &[of("web", "web"), of("more", "other"), of("nobody", "web")]);
    files.put("cds.json", &[cluster("web")]);
    files.put("rds.json", &[routes("table", "web")]);
    files.put("lds.json", &[listener("in", port, "table")]);
    let mut sidecar = files.start(proxy::command);
    sidecar.port = port;
    sidecar.answers("/", "web").await;
    files.put("cds.json", &[cluster("web"), cluster("more")]);
    files.put("rds.json", &[routes("table", "more")]);
    sidecar.answers("/", "other").await;
    assert!(!sidecar.page("/config_dump").await.contains("nobody"), "nothing refers to it");
}

#[tokio::test]
async fn a_bad_file_or_resource_leaves_what_was_good() {
    let files = Files::new();
    let port = ports::free();
    files.put("cds.json", &[]);
    files.put("rds.json", &[says("table", "good")]);
    files.put("lds.json", &[listener("in", port, "table")]);
    let mut sidecar = files.start(proxy::command);
    sidecar.port = port;
    sidecar.answers("/", "good").await;
    let logged = async |text: &str| {
        let holds = || async { sidecar.process.log().contains(text).then_some(()) };
        assert!(eventually(LIMIT, holds).await.is_some(), "{text:?} is not in\n{}", sidecar.process.log());
    };
    files.put_text("rds.json", "{resources: [");
    logged("rds.json").await;
    files.put_text("rds.json", &json!({ "resources": [{ "@type": ROUTES, "name": "table", "virtual_hosts": 7 }] }).to_string());
    logged("resources[0].virtual_hosts").await;
    let mut bad = says("table", "bad");
    bad["virtual_hosts"][0]["domains"] = json!([]);
    files.put("rds.json", &[bad]);
    logged("table: virtual_hosts[0].domains").await;
    let dump = sidecar.page("/config_dump").await;
    assert!(dump.contains("virtual_hosts[0].domains"), "{dump}");
    sidecar.answers("/", "good").await;
    files.put("rds.json", &[says("table", "better")]);
    sidecar.answers("/", "better").await;
    assert_eq!(sidecar.process.log().matches(" WARN ").count(), 3, "each is told once:\n{}", sidecar.process.log());
}

#[tokio::test]
async fn a_folder_of_links_is_followed_as_kubernetes_changes_it() {
    let files = Files::new();
    let port = ports::free();
    for (version, text) in [("..one", "one"), ("..two", "two")] {
        fs::create_dir(files.path(version)).unwrap();
        let content = json!({ "resources": [says("table", text)] });
        fs::write(files.path(version).join("rds.json"), content.to_string()).unwrap();
    }
    symlink("..one", files.path("..data")).unwrap();
    symlink("..data/rds.json", files.path("rds.json")).unwrap();
    files.put("cds.json", &[]);
    files.put("lds.json", &[listener("in", port, "table")]);
    let mut sidecar = files.start(proxy::command);
    sidecar.port = port;
    sidecar.answers("/", "one").await;
    symlink("..two", files.path("..new")).unwrap();
    fs::rename(files.path("..new"), files.path("..data")).unwrap();
    sidecar.answers("/", "two").await;
}

#[tokio::test]
async fn endpoints_come_from_a_file_and_the_rest_from_a_server() {
    let services = Services::start(&["web", "other"]).await;
    let files = Files::new();
    files.put("eds.json", &[endpoints("web", &[services.port("web")])]);
    let control_plane = ControlPlane::new(Dialect::Delta);
    let sidecar = Sidecar::start(&control_plane);
    let mut web = cluster("web");
    files.lead_to_files(&mut web);
    control_plane.request_of(CLUSTER).await;
    let clusters = control_plane.send(CLUSTER, "1", &[web]);
    control_plane.accepted(&clusters).await;
    control_plane.request_of(LISTENER).await;
    control_plane.send(LISTENER, "1", &[listener("in", sidecar.port, "table")]);
    control_plane.request_of(ROUTES).await;
    control_plane.send(ROUTES, "1", &[routes("table", "web")]);
    sidecar.answers("/", "web").await;
    files.put("eds.json", &[endpoints("web", &[services.port("other")])]);
    sidecar.answers("/", "other").await;
    assert!(control_plane.untaken().iter().all(|request| request.type_url() != ENDPOINTS), "the server is not asked for what is in a file");
}

#[tokio::test]
async fn a_cluster_of_the_bootstrap_file_has_its_endpoints_in_another() {
    let services = Services::start(&["web", "other"]).await;
    let files = Files::new();
    let (admin, port) = (ports::free(), ports::free());
    files.put("eds.json", &[endpoints("web", &[services.port("web")])]);
    files.put("rds.json", &[routes("table", "web")]);
    let mut resources = json!({ "clusters": [cluster("web")], "listeners": [listener("in", port, "table")] });
    files.lead_to_files(&mut resources);
    for kind in ["clusters", "listeners"] {
        resources[kind][0].as_object_mut().unwrap().remove("@type");
    }
    let bootstrap =
        json!({ "node": { "id": "files", "cluster": "files" }, "admin": { "address": address(admin) }, "static_resources": resources });
    let mut sidecar = Sidecar::of(&bootstrap, admin, proxy::command);
    sidecar.port = port;
    sidecar.answers("/", "web").await;
    files.put("eds.json", &[endpoints("web", &[services.port("other")])]);
    sidecar.answers("/", "other").await;
}

/// A listener whose certificate is a secret of a file.
fn safe(port: u16) -> Value {
    let mut safe = listener("in", port, "table");
    let secret = json!({ "name": "identity", "sds_config": ads() });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": { "tls_certificate_sds_secret_configs": [secret] },
    });
    safe["filter_chains"][0]["transport_socket"] = json!({ "name": "tls", "typed_config": tls });
    safe
}

/// A proxy that shows a certificate and key, from wherever they are.
fn serves(files: &Files, port: u16, pair: &Value, program: fn(&Path) -> Command) -> Sidecar {
    files.put("sds.json", &[json!({ "@type": SECRET, "name": "identity", "tls_certificate": pair })]);
    files.put("cds.json", &[]);
    files.put("rds.json", &[says("table", "safe")]);
    files.put("lds.json", &[safe(port)]);
    files.start(program)
}

type Identity = rcgen::CertifiedKey<rcgen::KeyPair>;

fn identity() -> Identity {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// Until a client that trusts it alone is answered.
async fn shows(port: u16, identity: &Identity, sidecar: &Sidecar) {
    // Not in a folder that is watched.
    let folder = Folder::new();
    let pem = folder.path().join("ca.pem");
    fs::write(&pem, identity.cert.pem()).unwrap();
    let curl = || async {
        let url = format!("https://localhost:{port}/");
        let output = Command::new("curl").args(["-sS", "--cacert"]).arg(&pem).arg(url).output().unwrap();
        (output.stdout == b"safe").then_some(())
    };
    assert!(eventually(LIMIT, curl).await.is_some(), "{}", sidecar.process.log());
}

#[tokio::test]
async fn a_certificate_comes_from_a_file() {
    let files = Files::new();
    let port = ports::free();
    let made = identity();
    let pair = json!({
        "certificate_chain": { "inline_string": made.cert.pem() },
        "private_key": { "inline_string": made.signing_key.serialize_pem() },
    });
    let sidecar = serves(&files, port, &pair, proxy::command);
    shows(port, &made, &sidecar).await;
    assert!(!sidecar.page("/config_dump").await.contains("PRIVATE KEY"));
}

/// The secret says where its files are, which are in a folder that a link leads to, as a mounted Secret of Kubernetes.
async fn a_certificate_that_a_link_leads_to_is_followed(program: fn(&Path) -> Command) {
    let files = Files::new();
    let port = ports::free();
    let put = |name: &str, identity: &Identity| {
        fs::create_dir_all(files.path("certs").join(name)).unwrap();
        fs::write(files.path("certs").join(name).join("chain.pem"), identity.cert.pem()).unwrap();
        fs::write(files.path("certs").join(name).join("key.pem"), identity.signing_key.serialize_pem()).unwrap();
        symlink(name, files.path("certs").join("next")).unwrap();
        fs::rename(files.path("certs").join("next"), files.path("certs").join("data")).unwrap();
    };
    let (one, two) = (identity(), identity());
    put("one", &one);
    let pair = json!({
        "certificate_chain": { "filename": files.path("certs/data/chain.pem") },
        "private_key": { "filename": files.path("certs/data/key.pem") },
        "watched_directory": { "path": files.path("certs") },
    });
    let sidecar = serves(&files, port, &pair, program);
    shows(port, &one, &sidecar).await;
    put("two", &two);
    shows(port, &two, &sidecar).await;
}

#[tokio::test]
async fn a_certificate_that_a_link_leads_to_is_followed_here() {
    a_certificate_that_a_link_leads_to_is_followed(proxy::command).await;
}

#[tokio::test]
async fn a_certificate_that_a_link_leads_to_is_followed_in_envoy() {
    a_certificate_that_a_link_leads_to_is_followed(envoy::command).await;
}

/// One after the other, as it happens: until both have come, the pair before serves.
async fn a_certificate_whose_files_are_replaced_is_followed(program: fn(&Path) -> Command) {
    let files = Files::new();
    let port = ports::free();
    fs::create_dir(files.path("certs")).unwrap();
    let put = |name: &str, text: &str| {
        fs::write(files.path("certs/beside"), text).unwrap();
        fs::rename(files.path("certs/beside"), files.path("certs").join(name)).unwrap();
    };
    let (one, two) = (identity(), identity());
    put("key.pem", &one.signing_key.serialize_pem());
    put("chain.pem", &one.cert.pem());
    let pair = json!({
        "certificate_chain": { "filename": files.path("certs/chain.pem") },
        "private_key": { "filename": files.path("certs/key.pem") },
    });
    let sidecar = serves(&files, port, &pair, program);
    shows(port, &one, &sidecar).await;
    put("key.pem", &two.signing_key.serialize_pem());
    shows(port, &one, &sidecar).await;
    put("chain.pem", &two.cert.pem());
    shows(port, &two, &sidecar).await;
}

#[tokio::test]
async fn a_certificate_whose_files_are_replaced_is_followed_here() {
    a_certificate_whose_files_are_replaced_is_followed(proxy::command).await;
}

#[tokio::test]
async fn a_certificate_whose_files_are_replaced_is_followed_in_envoy() {
    a_certificate_whose_files_are_replaced_is_followed(envoy::command).await;
}
