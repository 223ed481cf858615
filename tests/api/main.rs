//! The control plane's API against its own description: schemathesis makes requests from the OpenAPI document, good and bad ones,
//! and holds every answer against it. `SCHEMATHESIS` names the program.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use ninon_control_plane::api::auth::{ADMIN_FILE, Tokens};
use ninon_control_plane::api::loads::{Load, Locality};
use ninon_control_plane::api::proxies::{Proxy, ProxyType, Refusal};
use ninon_control_plane::api::{Api, Hooks, Limits, serve};
use ninon_control_plane::keyfile::Key;
use ninon_control_plane::source::manifest;
use ninon_control_plane::store::Store;
use ninon_control_plane::token;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

/// The whole run, on a crowded machine.
const LIMIT: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_what_the_document_says() {
    let folder = std::env::temp_dir().join(format!("ninon-openapi-{}", std::process::id()));
    let mut serving = JoinSet::new();
    let (address, token) = start(&folder, &mut serving).await;
    let run = Command::new(schemathesis())
        .args(["run", &format!("http://{address}/openapi.json"), "--header", &format!("Authorization: Bearer {token}")])
        // What the schemas allow, the specifications' other rules may refuse.
        .args(["--checks", "all", "--exclude-checks", "positive_data_acceptance"])
        .args(["--max-examples", "8", "--workers", "1", "--no-color", "--suppress-health-check", "all", "--warnings", "off"])
        .args(["--max-failures", "20", "--generation-database", "none"])
        // It keeps a folder of what it found.
        .current_dir(&folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, run).await.expect("schemathesis ends in time").unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "schemathesis found that the API is not as its document says");
}

fn schemathesis() -> PathBuf {
    let named = std::env::var_os("SCHEMATHESIS").map(PathBuf::from);
    std::path::absolute(named.unwrap_or_else(|| PathBuf::from("../target/schemathesis/bin/schemathesis"))).unwrap()
}

async fn start(folder: &Path, serving: &mut JoinSet<()>) -> (SocketAddr, String) {
    let store = Store::embedded(folder, ninon_control_plane::store::Limits::default()).await.unwrap();
    let tokens = Tokens::open(folder).unwrap();
    let hooks = Hooks {
        validate: Box::new(|object| manifest::read(object).map(drop)),
        schema: Box::new(manifest::schema),
        proxies: Box::new(|()| vec![proxy()]),
        loads: Box::new(|()| vec![Load { localities: vec![Locality::default()], ..Load::default() }]),
        ..Hooks::default()
    };
    // A watch is to end, or the run does not.
    let limits = Limits { watch: Duration::from_millis(50), ..Limits::default() };
    let joining = token::Tokens::new(store.clone(), token::Signer::new(&Key::new([7; 32])));
    let api = Api::new(store, tokens, joining, hooks, limits);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serving.spawn(serve(listener, Arc::clone(&api), std::future::pending()));
    (address, std::fs::read_to_string(folder.join(ADMIN_FILE)).unwrap().trim().to_owned())
}

fn proxy() -> Proxy {
    let refused = Some(Refusal { version: "2".to_owned(), reason: "no".to_owned(), seconds: 1.5 });
    let types = vec![ProxyType { kind: "clusters".to_owned(), refused, ..ProxyType::default() }];
    Proxy { id: "web".to_owned(), types, ..Proxy::default() }
}
