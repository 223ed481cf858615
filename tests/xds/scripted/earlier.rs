use std::path::{Path, PathBuf};

use ninon_tests::control_plane::{ControlPlane, Dialect, LIMIT};
use ninon_tests::eventually::eventually;
use ninon_tests::process::Folder;
use ninon_tests::proxy;

use super::both;
use super::relay::{Network, Relay};
use super::scopes::{scope, scoped};
use super::world::{CLUSTER, ENDPOINTS, LISTENER, Load, ROUTES, SCOPES, Services, Sidecar, says, set_up};

both!(
    the_last_good_configuration_serves_while_the_control_plane_is_away,
    scopes_serve_while_the_control_plane_is_away,
    a_damaged_file_is_told_of_and_not_used,
);

/// A proxy that keeps what is good in `folder`.
fn start(control_plane: &ControlPlane, relay: &Relay, folder: &Path) -> Sidecar {
    Sidecar::launch(
        control_plane,
        &[relay.port],
        |_| {},
        |bootstrap| {
            let mut command = proxy::command(bootstrap);
            command.arg("--state-dir").arg(folder);
            command
        },
    )
}

/// Waits until all is kept, the routes being the last; where.
async fn kept(folder: &Path) -> PathBuf {
    let file = folder.join("resources");
    let virtual_host = b"\x0a\x03all";
    let written = || async {
        let bytes = std::fs::read(&file).ok()?;
        bytes.windows(virtual_host.len()).any(|window| window == virtual_host).then_some(())
    };
    eventually(LIMIT, written).await.expect("the last good configuration is written");
    file
}

/// A proxy has served and is killed, and the control plane with it. Where it kept what was good, and where it listened.
async fn an_earlier_run(control_plane: &ControlPlane, relay: &mut Relay, services: &Services, folder: &Path) -> (PathBuf, u16) {
    let sidecar = start(control_plane, relay, folder);
    set_up(control_plane, &sidecar, services.port("web")).await;
    sidecar.answers("/", "web").await;
    let file = kept(folder).await;
    let port = sidecar.port;
    relay.kill().await;
    drop(sidecar);
    control_plane.closed().await;
    control_plane.forget();
    (file, port)
}

async fn the_last_good_configuration_serves_while_the_control_plane_is_away(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, folder) = (ControlPlane::new(dialect), Folder::new());
    let mut relay = Relay::start(control_plane.port(), Network::Passes).await;
    let (_, port) = an_earlier_run(&control_plane, &mut relay, &services, folder.path()).await;

    let mut sidecar = start(&control_plane, &relay, folder.path());
    sidecar.port = port;
    sidecar.answers("/", "web").await;
    assert_eq!(sidecar.stat("control_plane.connected_state").await, Some(0));
    let load = Load::start(sidecar.port);
    relay.revive().await;
    if dialect == Dialect::Delta {
        for (type_url, name) in [(CLUSTER, "web"), (ENDPOINTS, "web"), (LISTENER, "in"), (ROUTES, "table")] {
            let request = control_plane.request_of(type_url).await;
            assert_eq!(request.known(name), Some("1"), "the server need not send it again: {request:?}");
        }
    } else {
        set_up(&control_plane, &sidecar, services.port("web")).await;
    }
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "there again")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "there again").await;
    load.went_well().await;
}

async fn scopes_serve_while_the_control_plane_is_away(dialect: Dialect) {
    let (control_plane, folder) = (ControlPlane::new(dialect), Folder::new());
    let mut relay = Relay::start(control_plane.port(), Network::Passes).await;
    let sidecar = start(&control_plane, &relay, folder.path());
    control_plane.serve(CLUSTER, &[]);
    control_plane.serve(ROUTES, &[says("ra", "kept")]);
    control_plane.request_of(LISTENER).await;
    control_plane.send(LISTENER, "1", &[scoped("in", sidecar.port)]);
    control_plane.request_of(SCOPES).await;
    control_plane.send(SCOPES, "1", &[scope("one", "1", "ra")]);
    sidecar.answers("/1", "kept").await;
    kept(folder.path()).await;
    let port = sidecar.port;
    relay.kill().await;
    drop(sidecar);

    let mut sidecar = start(&control_plane, &relay, folder.path());
    sidecar.port = port;
    sidecar.answers("/1", "kept").await;
    assert_eq!(sidecar.stat("control_plane.connected_state").await, Some(0));
}

async fn a_damaged_file_is_told_of_and_not_used(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, folder) = (ControlPlane::new(dialect), Folder::new());
    let mut relay = Relay::start(control_plane.port(), Network::Passes).await;
    let (file, port) = an_earlier_run(&control_plane, &mut relay, &services, folder.path()).await;
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();

    let mut sidecar = start(&control_plane, &relay, folder.path());
    sidecar.port = port;
    sidecar.counts("control_plane.connect_fail", 2).await;
    assert!(!sidecar.is_open().await, "nothing of it serves");
    assert!(sidecar.process.log().contains("the last good configuration is not used"), "{}", sidecar.process.log());
    relay.revive().await;
    set_up(&control_plane, &sidecar, services.port("web")).await;
    sidecar.answers("/", "web").await;
}
