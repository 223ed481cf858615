//! `examples/reverse-proxy`, tried with curl.

use ninon_tests::example::Example;

async fn reverse_proxy() -> Example {
    Example::new("reverse-proxy").services(&[("web", 9001), ("web", 9002)]).await.start().await
}

#[tokio::test]
async fn two_servers_take_turns() {
    let example = reverse_proxy().await;
    let mut ports: Vec<_> = (0..4).map(|_| example.curl(&["/"]).seen()["port"].as_u64().unwrap()).collect();
    ports.sort_unstable();
    let [one, two] = [9001, 9002].map(|port| u64::from(example.port(port)));
    let mut expected = [one, one, two, two];
    expected.sort_unstable();
    assert_eq!(ports, expected);
}

#[tokio::test]
async fn the_server_learns_who_asked_and_what_the_client_claims_is_not_believed() {
    let example = reverse_proxy().await;
    let seen = example.curl(&["/a//b/../c?d=e", "--path-as-is", "-H", "x-forwarded-proto: https"]).seen();
    assert_eq!(seen["path"], "/a/c?d=e");
    assert_eq!(seen["x-forwarded-proto"], "http");
    assert!(seen["x-forwarded-for"].is_string(), "{seen}");
}

#[tokio::test]
async fn bodies_and_methods_pass() {
    let example = reverse_proxy().await;
    let seen = example.curl(&["/form", "-X", "PUT", "-d", "a=1"]).seen();
    assert_eq!((seen["method"].as_str(), seen["body"].as_str()), (Some("PUT"), Some("a=1")));
    assert_eq!(example.curl(&["/", "--head"]).status(), 200);
}

#[tokio::test]
async fn http2_clients_are_served_too() {
    let answer = reverse_proxy().await.curl(&["/", "--http2-prior-knowledge"]);
    assert!(answer.head.starts_with("HTTP/2 200"), "{answer:?}");
    assert_eq!(answer.seen()["service"], "web");
}
