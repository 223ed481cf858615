//! `examples/grpc`, tried with gRPC's own library: reflection, unary calls, a stream, an error, a deadline.

use ninon_tests::example::Example;

#[tokio::test]
async fn a_grpc_client_finds_services_calls_them_and_sees_status_and_trailers() {
    let example = Example::new("grpc").script("server.py", 9001).await.start().await;
    let output = example.client("client.py", &[&example.address(8080)]);
    let told = String::from_utf8_lossy(&output.stdout);
    let expected = "services: grpc.health.v1.Health, grpc.reflection.v1alpha.ServerReflection\n\
        check shop.Catalog: SERVING\n\
        check shop.Orders: NOT_SERVING\n\
        check shop.Nothing: NOT_FOUND \n\
        watch shop.Catalog: SERVING\n\
        watch with a deadline of 0.3 s: DEADLINE_EXCEEDED\n";
    assert_eq!(told, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_grpc_client_is_told_in_its_own_words_that_no_server_is_there() {
    let example = Example::new("grpc").start().await;
    let output = example.client("client.py", &[&example.address(8080)]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("StatusCode.UNAVAILABLE"), "{told}");
}

#[tokio::test]
async fn what_is_not_grpc_has_no_route() {
    let example = Example::new("grpc").start().await;
    assert_eq!(example.curl(&["/grpc.health.v1.Health/Check", "--http2-prior-knowledge"]).status(), 404);
}
