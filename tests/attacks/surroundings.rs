//! What the proxy stands on gives way: disks, names, certificates, descriptors.

use crate::arena::{arena, configured, http};
use crate::raw::{LONG, ask, open, status, statuses};
use ninon_tests::eventually::eventually;

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn an_access_log_on_a_full_disk() {
    let config = "{access_log: [], hcm: {access_log: [{name: full, typed_config: {\
        '@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/full}}]}}";
    arena(configured(config), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut wire = open(port).await;
                for _ in 0..50 {
                    assert_eq!(status(&mut wire, ASK).await, Some(200));
                }
            })
            .await;
        let lost = eventually(LONG, || async { arena.process_log().contains("access log lines are lost").then_some(()) });
        assert!(lost.await.is_some(), "nothing was said:\n{}", arena.process_log());
    });
}

#[test]
fn a_name_server_that_does_not_answer() {
    let config = "{routes: [{match: {prefix: /named}, route: {cluster: named, timeout: 2s}}, {match: {prefix: /}, route: {cluster: good}}], \
        extra_clusters: [{name: named, type: STRICT_DNS, connect_timeout: 1s, load_assignment: {cluster_name: named, endpoints: [{lb_endpoints: \
        [{endpoint: {address: {socket_address: {address: nobody.invalid, port_value: 80}}}}]}]}}]}";
    arena(configured(config), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, b"GET /named HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
                assert!(matches!(statuses(&answer)[..], [503 | 504]), "{answer:?}");
            })
            .await;
        arena.logged("503 UH").await;
    });
}

#[test]
fn thousands_of_connections_in_use() {
    arena(http(), async |arena| {
        let port = arena.port;
        let count = 3000;
        arena
            .withstand(96, async || {
                let mut all = Vec::new();
                for _ in 0..count {
                    let mut wire = open(port).await;
                    wire.send(ASK).await;
                    all.push(wire);
                }
                for wire in &mut all {
                    let head = tokio::time::timeout(LONG, wire.head()).await.expect("no answer");
                    assert_eq!(head.and_then(|head| head.status()), Some(200));
                }
            })
            .await;
    });
}
