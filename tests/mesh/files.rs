use std::time::Duration;

use ninon_tests::eventually::eventually;

use crate::world::World;

/// The folders are looked at every 30 s even if nothing was heard of them: this is well below.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_written_as_soon_as_the_control_plane_is_ready_is_not_missed() {
    for _ in 0..10 {
        let world = World::start().await;
        world.write("a.yaml", "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {ports: [{port: 80}]}}");
        let look = || async { world.ninon(&["get", "service", "a", "-n", "shop"]).status.success().then_some(()) };
        eventually(SOON, look).await.unwrap_or_else(|| panic!("it is missed: {}", world.log()));
    }
}
