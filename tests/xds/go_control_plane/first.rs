use super::mesh::{Cluster, Listener, Mesh, Table};
use super::world::{Dialect, World};

/// Two clusters, one listener with TLS.
pub(super) fn small() -> Mesh {
    let table = Table { stamp: "one".into(), routes: [("/a".into(), "web".into()), ("/b".into(), "shop".into())].into() };
    let listener =
        Listener { port: ninon_tests::ports::free(), table: "table".into(), secret: "certificate".into(), server: "edge".into() };
    Mesh {
        clusters: [
            ("web".into(), Cluster { endpoints: [0, 1].into(), http2: false }),
            ("shop".into(), Cluster { endpoints: [2].into(), http2: true }),
        ]
        .into(),
        tables: [("table".into(), table)].into(),
        listeners: [("edge".into(), listener)].into(),
        secrets: [("certificate".into(), 0)].into(),
    }
}

async fn the_first_snapshot_serves(dialect: Dialect) {
    let mesh = small();
    let world = World::start(dialect, &mesh).await;
    world.server.settled().await;
    world.shows(&mesh).await;
    let journal = world.server.journal();
    let opened = journal.events.iter().filter(|event| event.event == "opened").map(|event| event.delta).collect::<Vec<_>>();
    assert_eq!(opened, [dialect == Dialect::Delta], "one stream for all");
    let mut sent = journal.sent();
    sent.sort_unstable();
    let once = [
        ("cluster", "shop"),
        ("cluster", "web"),
        ("endpoints", "shop"),
        ("endpoints", "web"),
        ("listener", "edge"),
        ("routes", "table"),
        ("secret", "certificate"),
    ];
    assert_eq!(sent, once, "each is sent once");
    assert!(journal.refusals.is_empty(), "{:?}", journal.refusals);
}

#[tokio::test]
async fn the_first_snapshot_serves_sotw() {
    the_first_snapshot_serves(Dialect::Sotw).await;
}

#[tokio::test]
async fn the_first_snapshot_serves_delta() {
    the_first_snapshot_serves(Dialect::Delta).await;
}
