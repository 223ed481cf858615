use ninon_tests::control_plane::Dialect;

use super::{Registrant, failures, registered, token, until_only, until_registered, with_client};
use crate::load::Load;
use crate::world::{LIMIT, Program, until};

/// Requests that are under way when a sidecar dies: one for each connection of the load.
const UNDER_WAY: usize = 4;

async fn dies(client: Program) {
    let (world, _web, outbound) = with_client(client, Dialect::Delta).await;
    let token = token(&world);
    let _first = Registrant::ninon(&world, &token, "cart-1", "v1").await;
    let second = Registrant::ninon(&world, &token, "cart-2", "v2").await;
    until_registered(&world, &["cart-1 serving", "cart-2 serving"]).await;
    until(outbound, "/", "cart.shop", (200, "v2")).await;
    let load = Load::start(outbound, "cart.shop", "/");
    until_only(&load, &["200 v1", "200 v2"], 0).await;
    // Killed without a word.
    drop(second);
    load.answers(100).await;
    assert_eq!(registered(&world), ["cart-1 serving", "cart-2 serving"], "it may come back");
    until_registered(&world, &["cart-1 serving", "cart-2 draining"]).await;
    until_registered(&world, &["cart-1 serving"]).await;
    let seen = load.seen();
    assert!(failures(&seen) <= UNDER_WAY, "{seen:?}");
    until_only(&load, &["200 v1"], 0).await;
    let rest = load.end().await;
    assert_eq!(failures(&rest), 0, "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_killed_is_waited_for_drained_and_forgotten_by_envoy() {
    dies(Program::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_killed_is_waited_for_drained_and_forgotten_by_ninon() {
    dies(Program::Ninon).await;
}

async fn ends(client: Program) {
    let (world, _web, outbound) = with_client(client, Dialect::Delta).await;
    let token = token(&world);
    let _first = Registrant::ninon(&world, &token, "cart-1", "v1").await;
    let mut second = Registrant::ninon(&world, &token, "cart-2", "v2").await;
    until(outbound, "/", "cart.shop", (200, "v2")).await;
    let load = Load::start(outbound, "cart.shop", "/");
    until_only(&load, &["200 v1", "200 v2"], 0).await;
    second.terminate();
    until_registered(&world, &["cart-1 serving", "cart-2 draining"]).await;
    assert!(second.process.is_running(), "it serves until nobody is sent there any more");
    assert_eq!(second.ended().await.code(), Some(0), "{}", second.process.log());
    until_registered(&world, &["cart-1 serving"]).await;
    until_only(&load, &["200 v1"], 0).await;
    // And another one in its place.
    let _third = Registrant::ninon(&world, &token, "cart-2", "v3").await;
    until_only(&load, &["200 v1", "200 v3"], 0).await;
    let rest = load.end().await;
    assert_eq!(failures(&rest), 0, "{rest:?}");
    world.is_accepted_by_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_ends_costs_clients_of_envoy_no_request() {
    ends(Program::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_ends_costs_clients_of_ninon_no_request() {
    ends(Program::Ninon).await;
}

async fn restarts(client: Program) {
    let (mut world, _web, outbound) = with_client(client, Dialect::Delta).await;
    let token = token(&world);
    let _first = Registrant::ninon(&world, &token, "cart-1", "v1").await;
    let second = Registrant::ninon(&world, &token, "cart-2", "v2").await;
    until(outbound, "/", "cart.shop", (200, "v2")).await;
    let load = Load::start(outbound, "cart.shop", "/");
    until_only(&load, &["200 v1", "200 v2"], 0).await;
    world.kill();
    load.answers(200).await;
    world.serve().await;
    assert_eq!(registered(&world), ["cart-1 serving", "cart-2 serving"], "from the start");
    world.are_synced(3).await;
    until_only(&load, &["200 v1", "200 v2"], 0).await;
    // One that goes while nobody sees it is found out.
    world.kill();
    drop(second);
    world.serve().await;
    assert_eq!(registered(&world), ["cart-1 serving", "cart-2 serving"]);
    super::until_registered_within(LIMIT * 2, &world, &["cart-1 serving"]).await;
    let seen = load.seen();
    assert!(failures(&seen) <= UNDER_WAY, "{seen:?}");
    until_only(&load, &["200 v1"], 0).await;
    let rest = load.end().await;
    assert_eq!(failures(&rest), 0, "{rest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_control_plane_loses_nobody_for_envoy() {
    restarts(Program::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_control_plane_loses_nobody_for_ninon() {
    restarts(Program::Ninon).await;
}
