use super::first::small;
use super::mesh::{Listener, Mesh};
use super::world::{Dialect, World};

async fn each_type_changes_by_itself(dialect: Dialect) {
    let mut mesh = small();
    let mut world = World::start(dialect, &mesh).await;
    world.shows(&mesh).await;
    for (what, change) in CHANGES {
        let before = world.server.journal().events.len();
        change(&mut mesh);
        world.follow(&mesh).await;
        let journal = world.server.journal();
        let sent = journal.events[before..].iter().filter(|event| event.event == "response").map(|event| event.r#type.clone());
        let mut kinds: Vec<String> = sent.collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, [*what], "nothing else was sent");
        assert!(journal.refusals.is_empty(), "{what}: {:?}", journal.refusals);
    }
}

/// The type that changes, and how.
type Change = (&'static str, fn(&mut Mesh));

const CHANGES: &[Change] = &[
    ("routes", |mesh| {
        mesh.tables.get_mut("table").unwrap().routes.insert("/a".into(), "shop".into());
    }),
    ("routes", |mesh| mesh.tables.get_mut("table").unwrap().stamp = "two".into()),
    ("endpoints", |mesh| mesh.clusters.get_mut("shop").unwrap().endpoints = [3, 4].into()),
    ("cluster", |mesh| mesh.clusters.get_mut("shop").unwrap().http2 = false),
    ("listener", |mesh| mesh.listeners.get_mut("edge").unwrap().server = "rim".into()),
    ("listener", |mesh| {
        let more = Listener { port: ninon_tests::ports::free(), server: "more".into(), ..mesh.listeners["edge"].clone() };
        mesh.listeners.insert("more".into(), more);
    }),
    ("secret", |mesh| mesh.secrets.insert("certificate".into(), 1).map(drop).unwrap()),
];

#[tokio::test]
async fn each_type_changes_by_itself_sotw() {
    each_type_changes_by_itself(Dialect::Sotw).await;
}

#[tokio::test]
async fn each_type_changes_by_itself_delta() {
    each_type_changes_by_itself(Dialect::Delta).await;
}

async fn a_listener_moves_and_goes(dialect: Dialect) {
    let mut mesh = small();
    let mut world = World::start(dialect, &mesh).await;
    world.shows(&mesh).await;
    let old = mesh.listeners["edge"].port;
    mesh.listeners.get_mut("edge").unwrap().port = ninon_tests::ports::free();
    world.follow(&mesh).await;
    world.refuses(old).await;
    let more = Listener { port: old, server: "more".into(), ..mesh.listeners["edge"].clone() };
    mesh.listeners.insert("more".into(), more);
    world.follow(&mesh).await;
    mesh.listeners.remove("more");
    world.follow(&mesh).await;
    world.refuses(old).await;
}

#[tokio::test]
async fn a_listener_moves_and_goes_sotw() {
    a_listener_moves_and_goes(Dialect::Sotw).await;
}

#[tokio::test]
async fn a_listener_moves_and_goes_delta() {
    a_listener_moves_and_goes(Dialect::Delta).await;
}

async fn new_handshakes_see_the_new_certificate_and_open_connections_go_on(dialect: Dialect) {
    let mut mesh = small();
    let mut world = World::start(dialect, &mesh).await;
    world.shows(&mesh).await;
    let port = mesh.listeners["edge"].port;
    let mut open = world.connect(port).await;
    open.get("/a").await.expect("an answer");
    mesh.secrets.insert("certificate".into(), 1);
    world.follow(&mesh).await;
    assert_eq!(world.certificates.which(&world.connect(port).await.certificate), Some(1));
    for _ in 0..3 {
        assert_eq!(open.get("/a").await.expect("the connection goes on").status, 200);
    }
    assert_eq!(world.certificates.which(&open.certificate), Some(0));
}

#[tokio::test]
async fn new_handshakes_see_the_new_certificate_and_open_connections_go_on_sotw() {
    new_handshakes_see_the_new_certificate_and_open_connections_go_on(Dialect::Sotw).await;
}

#[tokio::test]
async fn new_handshakes_see_the_new_certificate_and_open_connections_go_on_delta() {
    new_handshakes_see_the_new_certificate_and_open_connections_go_on(Dialect::Delta).await;
}
