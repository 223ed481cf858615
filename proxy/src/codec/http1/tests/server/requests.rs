use super::*;

async fn is_refused(head: &str, status: u16, text: &str) {
    refused(&echoed(options(), head.as_bytes()).await, status, text);
}

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

#[tokio::test(start_paused = true)]
async fn what_two_readers_could_take_differently_is_refused() {
    let get = "GET / HTTP/1.1\r\nHost: x\r\n";
    let post = "POST / HTTP/1.1\r\nHost: x\r\n";
    for (head, text) in [
        ("GET / HTTP/1.1\nHost: x\n\n".to_owned(), "a line ends with a bare LF"),
        ("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n".to_owned(), "a line ends with a bare LF"),
        ("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "a line ends with a bare LF"),
        (format!("{get}\n"), "a line ends with a bare LF"),
        (format!("{get}A: b\rc\r\n\r\n"), "invalid field value"),
        (format!("{get}A: b\0c\r\n\r\n"), "invalid field value"),
        (format!("{get}A: b\x7fc\r\n\r\n"), "invalid field value"),
        (format!("{get}A : b\r\n\r\n"), "invalid field name"),
        (format!("{get}A: b\r\n c\r\n\r\n"), "invalid field name"),
        (format!("{get}A: b\r\n\tc\r\n\r\n"), "invalid field name"),
        (format!("{get}: b\r\n\r\n"), "invalid field name"),
        (format!("{get}A\r\n\r\n"), "invalid field name"),
        (format!("{get}A\u{e9}: b\r\n\r\n"), "invalid field name"),
        ("GET / HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n".to_owned(), "invalid field name"),
        ("GET / HTTP/1.1\r\nHost: a b<c>\r\n\r\n".to_owned(), "invalid host"),
        (format!("{get}host: y\r\n\r\n"), "more than one Host"),
        (format!("{post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), "both Content-Length and Transfer-Encoding"),
        (format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"), "both Content-Length and Transfer-Encoding"),
        (format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n"), "invalid field value"),
        (format!("{post}Content-Length: 1\r\nContent-Length: 1\r\n\r\na"), "more than one Content-Length"),
        (format!("{post}Content-Length: 1, 1\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length: +1\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length: -1\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length: 0x1\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length:\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length: 18446744073709551616\r\n\r\na"), "Content-Length is too large"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na".to_owned(), "CONNECT with a Content-Length"),
    ] {
        is_refused(&head, 400, text).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_coding_other_than_one_chunked_is_answered_501() {
    let post = "POST / HTTP/1.1\r\nHost: x\r\n";
    for head in [
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n"),
        format!("{post}Transfer-Encoding:\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"),
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
    ] {
        is_refused(&head, 501, "unsupported transfer encoding").await;
    }
    is_refused(&format!("{post}Transfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\na"), 400, "both Content-Length and Transfer-Encoding")
        .await;
}

#[tokio::test(start_paused = true)]
async fn odd_request_lines_are_refused() {
    for (line, status, text) in [
        ("GET /\u{e9} HTTP/1.1", 400, "the target has a byte that must be encoded"),
        ("GET /\x7f HTTP/1.1", 400, "invalid request line"),
        ("GET /a\tb HTTP/1.1", 400, "invalid request line"),
        ("GET  / HTTP/1.1", 400, "invalid request line"),
        ("GET / HTTP/1.1 ", 400, "a line ends with a bare CR"),
        ("G(T / HTTP/1.1", 400, "invalid request line"),
        (" GET / HTTP/1.1", 400, "invalid request line"),
        ("GET foo HTTP/1.1", 400, "the target does not suit the method"),
        ("GET * HTTP/1.1", 400, "the target does not suit the method"),
        ("GET ftp://y/ HTTP/1.1", 400, "the target does not suit the method"),
        ("GET http://u@y/ HTTP/1.1", 400, "the target has user information"),
        ("CONNECT /a HTTP/1.1", 400, "the target does not suit the method"),
        ("GET / HTTP/2.0", 426, "the version is neither HTTP/1.0 nor HTTP/1.1"),
        ("GET / HTTP/1.2", 426, "the version is neither HTTP/1.0 nor HTTP/1.1"),
        ("GET / HTTP/0.9", 426, "the version is neither HTTP/1.0 nor HTTP/1.1"),
        ("GET / http/1.1", 400, "unsupported HTTP version"),
        ("GET / HTTP/1.2 x", 400, "unsupported HTTP version"),
        ("FROBNICATE / HTTP/1.1", 400, "unknown method"),
        ("PRI * HTTP/2.0", 400, "unsupported HTTP version"),
        ("GET /", 426, "the version is neither HTTP/1.0 nor HTTP/1.1"),
        ("FROBNICATE /", 400, "invalid request line"),
    ] {
        is_refused(&format!("{line}\r\nHost: x\r\n\r\n"), status, text).await;
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_without_a_line_end_is_refused_at_once() {
    is_refused("\x16\x03\x01\x02\0\x01\0", 400, "invalid request line").await;
}

#[tokio::test(start_paused = true)]
async fn good_heads_are_taken() {
    for (head, expected) in [
        ("\r\n\r\nGET /e HTTP/1.1\r\nHost: x\r\n\r\n", "GET /e []"),
        ("GET http://y:81/p?q HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://y:81/p?q []"),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * []"),
        ("MSEARCH / HTTP/1.1\r\nHost:\r\n\r\n", "MSEARCH / []"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ChunkeD\r\n\r\n0\r\n\r\n", "POST / []"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX: \u{e9}\t\r\n\r\nab", "POST / [ab]"),
    ] {
        let answer = echoed(options(), head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(expected), "{head:?}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_is_taken_from_the_target_or_assumed_for_http_10() {
    let show = Handler(async |incoming: Incoming| -> Result<Outgoing<Body>, Abort> {
        let host = incoming.request.headers().get("host").cloned().unwrap();
        Ok(Response::new(Body::from(Bytes::copy_from_slice(host.as_bytes()))).into())
    });
    local(async {
        let (mut client, _task) = start(options(), show);
        client.write_all(b"GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n").await.unwrap();
        let answers = read_all(&mut client).await;
        assert!(answers.contains("\r\n\r\nyHTTP/1.0 200 OK\r\n") && answers.ends_with("\r\n\r\ndefault<end>"), "{answers}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_layer_above_refuses_reaches_it() {
    let show = Handler(async |incoming: Incoming| -> Result<Outgoing<Body>, Abort> {
        let request = incoming.request;
        let fragment = request.extensions().get::<Fragment>().is_some();
        Ok(answer(
            200,
            if fragment {
                "fragment"
            } else if request.headers().contains_key("host") {
                "host"
            } else {
                "no host"
            },
        ))
    });
    local(async {
        let (mut client, _task) = start(options(), show);
        client.write_all(b"GET / HTTP/1.1\r\n\r\nGET /a#b HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let answers = read_all(&mut client).await;
        assert!(answers.contains("\r\n\r\nno hostHTTP/1.1 200 OK\r\n") && answers.ends_with("\r\n\r\nfragment"), "{answers}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn both_lengths_are_taken_where_allowed_and_the_chunks_count() {
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let answer = echoed(Http1Options { allow_chunked_length: true, ..options() }, head).await;
    assert!(answer.ends_with("POST / [a]"), "{answer}");
}
