use std::time::Duration;

use ninon_tests::eventually::eventually;

use crate::world::World;

/// The folders are looked at every 30 s even if nothing was heard of them: this is well below.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_shows_what_files_and_what_operators_change() {
    let world = World::start().await;
    let service =
        |port| format!("{{apiVersion: v1, kind: Service, metadata: {{name: a, namespace: shop}}, spec: {{ports: [{{port: {port}}}]}}}}");
    world.apply(&service(80));
    let mut watch = world.watch(&["get", "service", "-n", "shop", "-w", "-o", "wide"]);
    let mut next = |wanted: [&str; 2]| {
        let line = watch.next();
        assert!(wanted.iter().all(|word| line.contains(word)), "{wanted:?}: {line}");
    };
    next(["NAME", "PORT"]);
    next(["a ", "80"]);
    world.apply(&service(81));
    next(["81", "modified"]);
    world.write("a.yaml", &service(82));
    next(["82", "modified"]);
    world.write("a.yaml", &service(83));
    next(["83", "modified"]);
    std::fs::remove_file(world.path("config/a.yaml")).unwrap();
    next(["81", "modified"]);
    world.does(&["delete", "service", "a", "-n", "shop"]);
    next(["81", "deleted"]);
    world.write("a.yaml", &service(84));
    next(["84", "added"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_as_soon_as_the_control_plane_is_ready_is_not_missed() {
    for _ in 0..10 {
        let world = World::start().await;
        world.write("a.yaml", "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {ports: [{port: 80}]}}");
        let look = || async { world.ninon(&["get", "service", "a", "-n", "shop"]).status.success().then_some(()) };
        eventually(SOON, look).await.unwrap_or_else(|| panic!("it is missed: {}", world.log()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_be_a_policy_and_cannot_be_read_keeps_it_from_starting() {
    let mut world = World::new("embedded");
    world.write("policies.yaml", "kind: AuthorizationPolicy\nspec: {rules: [\n");
    let (status, log) = world.serve_in_vain().await;
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    assert!(log.contains("policies.yaml:") && log.contains("it may be a policy"), "{log}");
    // Once it serves, the same file changes nothing.
    world.write("policies.yaml", "");
    world.serve().await;
    world.write("policies.yaml", "kind: AuthorizationPolicy\nspec: {rules: [\n");
    let told = || async { world.log().contains("what was good before stays").then_some(()) };
    eventually(SOON, told).await.unwrap_or_else(|| panic!("{}", world.log()));
}
