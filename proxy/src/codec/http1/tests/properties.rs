use super::*;

use proptest::prelude::*;

use crate::codec::http1::fuzz;
use crate::codec::{Informational, Spelling};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(LocalSet::new().run_until(future))
}

/// What the echo server answers when the input comes in these pieces.
async fn in_pieces(pieces: &[&[u8]]) -> String {
    let (mut client, _task) = start(options(), Handler(echo));
    for piece in pieces {
        client.write_all(piece).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    read_all(&mut client).await
}

#[test]
fn every_split_of_the_input_gives_the_same_answers() {
    let good: &[u8] = b"\r\nPOST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcPUT /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\nT: 1\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let bad: &[u8] = b"PUT /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nT : 1\r\n\r\n";
    let bare: &[u8] = b"GET / HTTP/1.1\r\nhost: x\na: b\r\n\r\n";
    for input in [good, bad, bare] {
        let whole = block_on(in_pieces(&[input]));
        for at in 1..input.len() {
            let (before, after) = input.split_at(at);
            assert_eq!(block_on(in_pieces(&[before, after])), whole, "at {at}");
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(block_on(in_pieces(&bytes)), whole);
    }
}

/// A body in chunks of these sizes, with extensions here and there.
fn chunked(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        body.extend_from_slice(format!("{:x}{}\r\n", piece.len(), if piece.len() % 2 == 0 { ";a=\"b\"" } else { "" }).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\nA: b\r\n\r\n");
    body
}

fn split<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes {
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

proptest! {
    #[test]
    fn chunks_decode_to_what_was_encoded(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        sizes in prop::collection::vec(1_usize..12, 0..60),
    ) {
        let body = chunked(&pieces);
        let decoded = fuzz::decode_chunked(split(&body, &sizes));
        prop_assert_eq!(decoded, Ok((pieces.concat(), true)));
    }

    #[test]
    fn damaged_chunks_give_the_same_result_however_they_come(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        sizes in prop::collection::vec(1_usize..6, 0..60),
    ) {
        let mut body = chunked(&pieces);
        let at = at.index(body.len());
        body[at] = byte;
        let whole = fuzz::decode_chunked([body.as_slice()]);
        prop_assert_eq!(fuzz::decode_chunked(split(&body, &sizes)), whole);
    }

    #[test]
    fn heads_of_any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = fuzz::parse_request_head(&bytes, &options());
        let _ = fuzz::parse_response_head(&bytes, 10);
        drop(fuzz::decode_chunked([bytes.as_slice()]));
    }

    #[test]
    fn damaged_heads_never_panic_and_are_complete_only_at_their_end(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut head = b"POST /path?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\nX-Y: z\r\n\r\n".to_vec();
        let at = at.index(head.len());
        head[at] = byte;
        if let Ok(Some(length)) = fuzz::parse_request_head(&head, &options()) {
            prop_assert!(head[..length].ends_with(b"\r\n\r\n"));
        }
    }

    #[test]
    fn any_bytes_on_a_connection_end_in_an_answer_or_silence(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        block_on(in_pieces(&[&bytes]));
    }

    #[test]
    fn bodies_survive_both_codecs(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6000), 0..6),
        pipe in 64_usize..5000,
    ) {
        let echo_body = Handler(async |incoming: Incoming| -> Result<Outgoing<Body>, Abort> {
            Ok(Response::new(incoming.request.into_body()).into())
        });
        let expected = pieces.concat();
        let received = block_on(async {
            let (client, server) = tokio::io::duplex(pipe);
            let _task = crate::task::OwnedTask::spawn(serve(server, Bytes::new(), Rc::new(options()), Drain::never(), echo_body));
            let frames = pieces.into_iter().map(|piece| Ok(http_body::Frame::data(Bytes::from(piece)))).collect();
            let request = http::Request::builder().method("POST").header("host", "x").body(Body::Boxed(Box::pin(Pieces(frames)))).unwrap();
            let connection = Connection::new(client, client_options());
            let sent = connection.send(request, Spelling::Title, Informational::default(), Rc::new(|_| ())).await;
            sent.unwrap().response.into_body().collect().await.unwrap().to_bytes()
        });
        prop_assert_eq!(received, expected);
    }
}

struct Pieces(std::collections::VecDeque<Result<http_body::Frame<Bytes>, crate::codec::BodyError>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = crate::codec::BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.pop_front())
    }
}

impl crate::codec::Message for Pieces {}

/// Status, body and trailers of an answer that comes in these pieces, or what is wrong with it.
async fn received(pieces: &[&[u8]]) -> String {
    let (client, mut peer) = tokio::io::duplex(64 * 1024);
    let request = http::Request::builder().uri("/").header("host", "x").body(Body::Empty).unwrap();
    let sent = Connection::new(client, client_options()).send(request, Spelling::Lower, Informational::default(), Rc::new(|_| ()));
    let server = async {
        for piece in pieces {
            drop(peer.write_all(piece).await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        peer
    };
    let client = async {
        match sent.await {
            Err(failed) => failed.error.to_string(),
            Ok(outgoing) => {
                let status = outgoing.response.status();
                match outgoing.response.into_body().collect().await {
                    Ok(body) => format!("{status} {:?} {:?}", body.trailers().cloned(), body.to_bytes()),
                    Err(error) => format!("{status} {error}"),
                }
            }
        }
    };
    tokio::join!(client, server).0
}

#[test]
fn every_split_of_an_answer_gives_the_same_result() {
    let chunked: &[u8] = b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1 ;x\r\nc\r\n0\r\nT: 1\r\n\r\n";
    let sized: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
    let wrong: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    for input in [chunked, sized, wrong] {
        let whole = block_on(received(&[input]));
        for at in 1..input.len() {
            let (before, after) = input.split_at(at);
            assert_eq!(block_on(received(&[before, after])), whole, "at {at}");
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(block_on(received(&bytes)), whole);
    }
}
