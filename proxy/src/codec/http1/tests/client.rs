mod framing;
mod relay;
mod reuse;

use super::*;

use http::Request;

use crate::codec::http1::{Reuse, SendError, SendFailed};
use crate::codec::{BodyError, Informational, Spelling};

fn get(uri: &str) -> Request<Body> {
    Request::builder().uri(uri).header("host", "h").body(Body::Empty).unwrap()
}

fn post(body: &'static str) -> Request<Body> {
    Request::builder().method("POST").uri("/").header("host", "h").body(Body::from(Bytes::from_static(body.as_bytes()))).unwrap()
}

type Slot = Rc<RefCell<Option<Connection<DuplexStream>>>>;

fn pool() -> (Rc<dyn Reuse<DuplexStream>>, Slot) {
    let slot = Slot::default();
    let returned = Rc::clone(&slot);
    (Rc::new(move |connection| *returned.borrow_mut() = Some(connection)), slot)
}

fn connect() -> (Connection<DuplexStream>, DuplexStream) {
    let (client, peer) = tokio::io::duplex(256 * 1024);
    (Connection::new(client, client_options()), peer)
}

async fn send(
    connection: Connection<DuplexStream>,
    request: Request<Body>,
    pool: &Rc<dyn Reuse<DuplexStream>>,
) -> Result<Outgoing<Body>, SendFailed> {
    connection.send(request, Spelling::Lower, Informational::default(), Rc::clone(pool)).await
}

struct Exchanged {
    sent: String,
    /// Status and body, or what went wrong.
    answer: Result<(u16, String), SendError>,
    body_error: Option<BodyError>,
    reused: bool,
}

/// Sends `request` to a server that answers `response` once it has read what comes, and then perhaps closes.
async fn exchange(request: Request<Body>, response: &[u8], close: bool) -> Exchanged {
    local(async {
        let (connection, mut peer) = connect();
        let (pool, returned) = pool();
        let server = async {
            let mut head = vec![0; 64 * 1024];
            let count = peer.read(&mut head).await.unwrap();
            peer.write_all(response).await.unwrap();
            if close {
                peer.shutdown().await.unwrap();
            }
            let more = read_all(&mut peer).await;
            (String::from_utf8_lossy(&head[..count]).into_owned() + more.trim_end_matches("<end>"), peer)
        };
        let client = async {
            match send(connection, request, &pool).await {
                Err(failed) => (Err(failed.error), None),
                Ok(outgoing) => {
                    let status = outgoing.response.status().as_u16();
                    let mut body = outgoing.response.into_body();
                    let mut text = String::new();
                    let mut fault = None;
                    while let Some(frame) = body.frame().await {
                        match frame.map(|frame| frame.into_data().unwrap_or_default()) {
                            Ok(data) => text += &String::from_utf8_lossy(&data),
                            Err(error) => fault = Some(error),
                        }
                    }
                    (Ok((status, text)), fault)
                }
            }
        };
        let ((answer, body_error), (sent, _peer)) = tokio::join!(client, server);
        let reused = returned.borrow().is_some();
        Exchanged { sent, answer, body_error, reused }
    })
    .await
}

struct Frames(std::collections::VecDeque<Result<Bytes, BodyError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        std::task::Poll::Ready(self.0.pop_front().map(|data| data.map(http_body::Frame::data)))
    }
}

impl crate::codec::Message for Frames {}
