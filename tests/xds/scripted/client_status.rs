use std::process::Command;

use ninon_tests::control_plane::Dialect;
use ninon_tests::settings;
use serde_json::Value;

use super::both;
use super::world::{CLUSTER, Services, cluster, serving, static_cluster};

both!(tools_are_told_what_is_held);

async fn tools_are_told_what_is_held(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let mut bad = static_cluster("bad", 1);
    bad["connect_timeout"] = "0s".into();
    let nonce = control_plane.send(CLUSTER, "2", &[cluster("web"), bad]);
    control_plane.refused(&nonce).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/xds/scripted/client_status.py");
    let mut command = Command::new(settings::clients_python());
    command.arg(script).arg(sidecar.admin.to_string());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 4, "{told}{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Value> = lines[..3].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let client = &answers[0]["config"][0];
    assert_eq!(client["node"]["id"], control_plane.node.as_str());
    let held = client["generic_xds_configs"].as_array().unwrap();
    let of = |name: &str, kind: &str| {
        let fits = |held: &&Value| held["name"] == name && held["type_url"].as_str().unwrap().ends_with(kind);
        held.iter().find(fits).unwrap_or_else(|| panic!("no {kind} {name} in {client:#}"))
    };
    for (name, kind) in [("web", ".Cluster"), ("web", ".ClusterLoadAssignment"), ("in", ".Listener"), ("table", ".RouteConfiguration")] {
        assert_eq!(of(name, kind)["client_status"], "ACKED");
        assert_eq!(of(name, kind)["xds_config"]["@type"].as_str().map(|url| url.ends_with(kind)), Some(true));
    }
    assert_eq!(of("table", ".RouteConfiguration")["version_info"], "1");
    let bad = of("bad", ".Cluster");
    assert_eq!(bad["client_status"], "NACKED");
    assert_eq!(bad["error_state"]["details"], "connect_timeout: must be above 0");
    assert_eq!(of("xds-0", ".Cluster")["is_static_resource"], true);
    assert_eq!(answers[1], answers[0]);
    let bare = answers[2]["config"][0]["generic_xds_configs"].as_array().unwrap();
    assert_eq!(bare.len(), held.len());
    assert!(bare.iter().all(|held| held["xds_config"].is_null()));
    assert_eq!(lines[3], "INVALID_ARGUMENT node_matchers: not supported");
}
