//! Connections without end, with nothing or with rubbish on them.

use crate::arena::{arena, configured, http};
use crate::raw::{LONG, end, open, status, stream};
use ninon_tests::eventually::eventually;
use tokio::io::AsyncWriteExt;

#[test]
fn connections_that_say_nothing() {
    arena(http(), async |arena| {
        let port = arena.port;
        let before = arena.descriptors();
        arena
            .withstand(16, async || {
                let mut all = Vec::new();
                for _ in 0..1000 {
                    all.push(stream(port).await);
                }
            })
            .await;
        arena.frees_all_but(before).await;
    });
}

#[test]
fn connections_over_the_limit_are_closed() {
    let limit = "{bootstrap: {layered_runtime: {layers: [{name: static, \
                 static_layer: {envoy.resource_limits.listener.main.connection_limit: 20}}]}}}";
    arena(configured(limit), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut all = Vec::new();
                for _ in 0..20 {
                    let mut wire = open(port).await;
                    if status(&mut wire, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await == Some(200) {
                        all.push(wire);
                    }
                }
                for _ in 0..500 {
                    let mut wire = open(port).await;
                    if all.len() == 20 {
                        end(&mut wire).await;
                    }
                }
                let ask = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
                if let Some(first) = all.first_mut() {
                    assert_eq!(status(first, ask).await, Some(200));
                }
            })
            .await;
        // The limit counts connections that are open, not all there ever were.
        let again = eventually(LONG, || async {
            let mut wire = open(port).await;
            (status(&mut wire, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await == Some(200)).then_some(())
        });
        assert!(again.await.is_some(), "the limit forgets nobody");
    });
}

#[test]
fn the_limit_of_the_process_holds() {
    let limit = "{bootstrap: {overload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, \
                 typed_config: {'@type': type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.\
                 DownstreamConnectionsConfig, max_active_downstream_connections: 20}}]}}}";
    arena(configured(limit), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut all = Vec::new();
                for _ in 0..200 {
                    all.push(open(port).await);
                }
                let mut refused = 0;
                for wire in &mut all {
                    if tokio::time::timeout(std::time::Duration::from_millis(10), wire.fill()).await == Ok(false) {
                        refused += 1;
                    }
                }
                assert!(refused >= 150, "{refused} were refused");
            })
            .await;
    });
}

#[test]
fn resets_at_once() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for _ in 0..200 {
                    let wire = open(port).await;
                    wire.reset_on_drop();
                }
            })
            .await;
    });
}

#[test]
fn rubbish() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for seed in 0..50_u8 {
                    let mut stream = stream(port).await;
                    let bytes: Vec<u8> =
                        (0..2000_u32).map(|at| u8::try_from((at * 31 + u32::from(seed) * 97 + at * at) % 256).expect("a byte")).collect();
                    let _ = stream.write_all(&bytes).await;
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty());
    });
}

#[test]
fn requests_cut_off() {
    arena(http(), async |arena| {
        let port = arena.port;
        let before = arena.descriptors();
        arena
            .withstand(24, async || {
                for _ in 0..100 {
                    let mut wire = open(port).await;
                    wire.send(b"GET /hang HTTP/1.1\r\nhost: a\r\n\r\n").await;
                    wire.reset_on_drop();
                }
            })
            .await;
        arena.logged("0 DC ").await;
        arena.frees_all_but(before).await;
    });
}
