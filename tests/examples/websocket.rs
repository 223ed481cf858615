//! `examples/websocket`, tried with a WebSocket library and with curl.

use ninon_tests::example::Example;

async fn websocket() -> Example {
    Example::new("websocket").script("server.py", 9001).await.start().await
}

#[tokio::test]
async fn a_conversation_passes_text_binary_and_the_closing_handshake() {
    let example = websocket().await;
    let output = example.client("client.py", &[&format!("ws://{}/ws", example.address(8080)), "hello", "world"]);
    let told = String::from_utf8_lossy(&output.stdout);
    let expected = "you said: hello\nyou said: world\n256 KiB came back whole: True\nclosed with 1000\n";
    assert_eq!(told, expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn an_upgrade_where_none_is_allowed_is_refused_and_plain_requests_pass() {
    let example = websocket().await;
    let output = example.client("client.py", &[&format!("ws://{}/other", example.address(8080)), "hello"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "refused with 403\n");
    assert_eq!(example.curl(&["/"]).body, "this page is plain HTTP\n");
}
