use std::collections::BTreeMap;

use ninon_tests::eventually::eventually;

use super::first::small;
use super::load::{Load, PACE};
use super::server::LIMIT;
use super::world::{Dialect, World};

async fn requests_go_on_and_nothing_is_sent_again(dialect: Dialect) {
    let mut mesh = small();
    let mut world = World::start(dialect, &mesh).await;
    world.server.settled().await;
    world.shows(&mesh).await;
    let load = Load::start(&world, "edge", &mesh, PACE);
    let gone = std::mem::replace(&mut world.server, super::server::Server::start(ninon_tests::ports::free()));
    gone.kill().await;
    world.log_holds("the stream of the control plane ended").await;
    world.shows(&mesh).await;
    world.restart_server(&mesh).await;
    let back = || async { Some(()).filter(|()| world.server.journal().events.iter().any(|event| event.r#type == "secret")) };
    assert!(eventually(LIMIT, back).await.is_some(), "it does not come back");
    world.server.settled().await;
    if dialect == Dialect::Delta {
        let journal = world.server.journal();
        assert_eq!(journal.sent(), [], "all of it was known");
        let asked = journal.events.iter().filter(|event| event.event == "request" && !event.initial.is_empty());
        let told: BTreeMap<&str, usize> = asked.map(|event| (event.r#type.as_str(), event.initial.len())).collect();
        let all = [("cluster", 2), ("endpoints", 2), ("listener", 1), ("routes", 1), ("secret", 1)];
        assert_eq!(told, all.into(), "each type says what it has");
    }
    // It follows the new one.
    mesh.tables.get_mut("table").unwrap().stamp = "two".into();
    load.may_see(&mesh);
    world.follow(&mesh).await;
    load.end(&world).await;
}

#[tokio::test]
async fn requests_go_on_and_nothing_is_sent_again_sotw() {
    requests_go_on_and_nothing_is_sent_again(Dialect::Sotw).await;
}

#[tokio::test]
async fn requests_go_on_and_nothing_is_sent_again_delta() {
    requests_go_on_and_nothing_is_sent_again(Dialect::Delta).await;
}
