use super::*;
use http::Request;

use crate::codec::{Informational, Spelling};

#[tokio::test(start_paused = true)]
async fn a_connection_comes_back_when_both_messages_have_ended() {
    let Upstream { connection, mut peer, returned } = upstream();
    let upstream = Rc::clone(&returned);
    let pool: Rc<dyn crate::codec::http1::Reuse<DuplexStream>> = Rc::new(move |connection| *upstream.borrow_mut() = Some(connection));
    peer.write_all(b"").await.unwrap();
    let request = Request::builder().uri("/a").header("host", "h").body(Body::Empty).unwrap();
    let (answer, sent) = tokio::join!(
        connection.send(request, Spelling::Title, Informational::default(), Rc::clone(&pool)),
        async {
            let mut head = [0; 64];
            let count = peer.read(&mut head).await.unwrap();
            peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
            String::from_utf8_lossy(&head[..count]).into_owned()
        }
    );
    assert_eq!(sent, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    let outgoing = answer.unwrap();
    assert_eq!(outgoing.spelling, Spelling::Title);
    assert_eq!(outgoing.response.into_body().collect().await.unwrap().to_bytes(), "hi");
    assert!(returned.borrow().is_some());
}
