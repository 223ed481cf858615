use super::{Plan, Registrant, TIMES, registered, token, until_registered};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lets_in_whom_it_is_for() {
    let world = World::start_with(&TIMES).await;
    let one = world.does(&["token", "create", "-n", "shop", "--workload", "cart-1", "--ttl", "1h", "--uses", "1"]).trim().to_owned();
    let id = one.strip_prefix("ninon-join-").and_then(|rest| rest.split_once('.')).unwrap().0.to_owned();
    let plans = [
        ("ninon-join-0123456789abcdef.00", "cart-1", "shop", "Unauthenticated: the token is not known here".to_owned()),
        (&*one, "cart-2", "shop", format!("PermissionDenied: the token {id} is for workload \"cart-1\", and this is workload \"cart-2\"")),
        (&*one, "cart-1", "bank", format!("PermissionDenied: the token {id} is for namespace \"shop\", and this is namespace \"bank\"")),
        (&*one, "cart-1", "No", "InvalidArgument: the node's metadata: NAMESPACE: ".to_owned()),
    ];
    for (token, workload, namespace, words) in plans {
        let mut servers = Vec::new();
        let plan = Plan { namespace, ..Plan::of(&world, token, workload, "v1", &mut servers) };
        Registrant::launch(&plan).await.log_holds(&words).await;
    }
    assert!(registered(&world).is_empty());
    let log = world.log();
    assert!(log.contains("a stream was refused") && !log.contains(one.split_once('.').unwrap().1), "{log}");
    let listed = world.does(&["token", "list"]);
    assert!(listed.contains(&id) && listed.contains("0/1") && !listed.contains(one.split_once('.').unwrap().1), "{listed}");
    let read = world.path("data/read-token").display().to_string();
    let looking = world.ninon(&["token", "list", "--token-file", &read]);
    assert!(String::from_utf8_lossy(&looking.stderr).contains("tokens are for the admin token"), "{looking:?}");
    let _cart = Registrant::ninon(&world, &one, "cart-1", "v1").await;
    until_registered(&world, &["cart-1 serving"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_by_a_revoked_token_is_sent_away() {
    let world = World::start_with(&TIMES).await;
    let token = token(&world);
    let cart = Registrant::ninon(&world, &token, "cart-1", "v1").await;
    until_registered(&world, &["cart-1 serving"]).await;
    let id = world.does(&["token", "list", "-o", "name"]).trim().to_owned();
    assert_eq!(world.does(&["token", "revoke", &id]), format!("token \"{id}\" revoked\n"));
    cart.log_holds(&format!("Unauthenticated: the token {id} was revoked")).await;
    until_registered(&world, &[]).await;
    assert!(!world.ninon(&["token", "revoke", &id]).status.success(), "it is gone");
}
