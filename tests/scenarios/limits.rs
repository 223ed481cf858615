use ninon_tests::wire::Wire;
use serde_json::json;
use tokio::net::TcpStream;

use crate::world::{Plan, Service, Sidecar, exchange};

#[tokio::test]
async fn connections_of_all_listeners_together_are_limited() {
    let service = Service::start().await;
    let monitor = json!({
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            "max_active_downstream_connections": 2,
        },
    });
    let plan = Plan { bootstrap: json!({ "overload_manager": { "resource_monitors": [monitor] } }), ..Plan::default() };
    let sidecar = Sidecar::start(&service, plan).await;
    let open = || async { Wire::new(TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap()) };
    let (mut first, mut second) = (open().await, open().await);
    for wire in [&mut first, &mut second] {
        assert_eq!(exchange(wire, "GET", "/", &[]).await.unwrap().status(), Some(200));
    }
    let mut third = open().await;
    assert!(exchange(&mut third, "GET", "/", &[]).await.is_none(), "one too many is closed");
    let counted = format!("listener.127.0.0.1_{}.downstream_global_cx_overflow: 1\n", sidecar.port);
    sidecar.page_holds("/stats", &counted).await;
    sidecar.page_holds("/stats", "server.total_connections: 2\n").await;
    drop(first);
    sidecar.page_holds("/stats", "server.total_connections: 1\n").await;
    let mut fourth = open().await;
    assert_eq!(exchange(&mut fourth, "GET", "/", &[]).await.unwrap().status(), Some(200));
    assert_eq!(exchange(&mut second, "GET", "/", &[]).await.unwrap().status(), Some(200));
}
