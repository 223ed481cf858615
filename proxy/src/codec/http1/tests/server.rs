use super::*;

#[tokio::test(start_paused = true)]
async fn requests_in_a_row_are_answered_in_order_on_one_connection() {
    let input = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcPUT /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\nT: 1\r\n\r\n";
    let answers = echoed(options(), input).await;
    assert_eq!(
        answers,
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nGET /a []\
         HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nPOST /b [abc]\
         HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\nPUT /c [def] t=1"
    );
}
