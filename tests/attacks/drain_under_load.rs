//! SIGTERM while requests are on their way: each is answered, and the process ends.

use crate::arena::{arena, http};
use crate::raw::{LONG, open, stream};
use ninon_tests::eventually::eventually;
use ninon_tests::wire::Wire;
use std::cell::Cell;
use tokio::time::timeout;

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// One request after the other until the proxy says that this was the last; how many were answered.
async fn busy(port: u16, answered: &Cell<u32>) {
    let mut wire: Wire = open(port).await;
    loop {
        wire.send(ASK).await;
        let head = timeout(LONG, wire.head()).await.expect("an answer is late");
        let mut head = head.expect("the connection was closed under a request");
        assert_eq!(head.status(), Some(200));
        wire.body(&mut head, true).await;
        assert!(head.complete, "an answer was cut off");
        answered.set(answered.get() + 1);
        if head.header("connection").is_some_and(|value| value.contains("close")) {
            return;
        }
    }
}

#[test]
fn no_http1_request_is_lost() {
    arena(http(), async |arena| {
        let (port, answered) = (arena.port, Cell::new(0));
        let clients = futures(20, || busy(port, &answered));
        let term = async {
            eventually(LONG, || async { (answered.get() > 200).then_some(()) }).await.expect("traffic flows");
            arena.terminate();
        };
        timeout(LONG, async { tokio::join!(clients, term) }).await.expect("clients are kept");
        arena.ended().await;
    });
}

#[test]
fn no_http2_request_is_lost() {
    arena(http(), async |arena| {
        let (port, answered) = (arena.port, Cell::new(0));
        let client = async {
            let (requests, connection) = h2::client::handshake(stream(port).await).await.expect("a connection");
            let one = || async {
                let mut requests = requests.clone();
                loop {
                    let Ok(mut ready) = requests.clone().ready().await else { return };
                    let request = http::Request::builder().uri("http://a/").body(()).expect("a request");
                    // What cannot be sent any more was not lost.
                    let Ok((response, _)) = ready.send_request(request, true) else { return };
                    let response = match response.await {
                        Ok(response) => response,
                        // Refused unprocessed: the client may send it elsewhere.
                        Err(error) if error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM) => return,
                        Err(error) => panic!("a request was lost: {error}"),
                    };
                    assert_eq!(response.status(), 200);
                    let mut body = response.into_body();
                    while let Some(data) = body.data().await {
                        data.expect("an answer was cut off");
                    }
                    answered.set(answered.get() + 1);
                    requests = ready;
                }
            };
            let driver = async {
                let _ = connection.await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = futures(20, one) => {}
                () = driver => {}
            }
        };
        let term = async {
            eventually(LONG, || async { (answered.get() > 200).then_some(()) }).await.expect("traffic flows");
            arena.terminate();
        };
        timeout(LONG, async { tokio::join!(client, term) }).await.expect("clients are kept");
        arena.ended().await;
    });
}

/// `count` of them at once.
async fn futures<F: Future<Output = ()>>(count: usize, make: impl Fn() -> F) {
    let mut all: Vec<_> = (0..count).map(|_| Some(Box::pin(make()))).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut all {
            if slot.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_ready()) {
                *slot = None;
            }
        }
        if all.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
