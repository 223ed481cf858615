mod connections;
mod streams;

use super::*;

fn request(body: impl Into<Body>) -> Request<Body> {
    post().map(|()| body.into())
}

/// Our client, and a real server's connection to test it with.
async fn client(options: Http2Options) -> (Client, h2::server::Connection<DuplexStream, Bytes>) {
    client_of(options, &h2::server::Builder::new()).await
}

async fn client_of(options: Http2Options, builder: &h2::server::Builder) -> (Client, h2::server::Connection<DuplexStream, Bytes>) {
    let (here, there) = tokio::io::duplex(65_536);
    let client = connect(here, Rc::new(options)).await.expect("connect");
    (client, builder.handshake(there).await.expect("handshake"))
}

type Accepted = (Request<h2::RecvStream>, h2::server::SendResponse<Bytes>);

/// Runs a real server that hands each request to `serve`.
fn run(mut connection: h2::server::Connection<DuplexStream, Bytes>, mut serve: impl FnMut(Accepted) + 'static) -> OwnedTask {
    OwnedTask::spawn(async move {
        while let Some(Ok(accepted)) = connection.accept().await {
            serve(accepted);
        }
    })
}

fn send(client: &Client, request: Request<Body>) -> OwnedTask<Result<Outgoing<Body>, SendFailed>> {
    let client = client.clone();
    OwnedTask::spawn(async move { client.send(request, Informational::default()).await })
}

async fn text(body: Body) -> Vec<u8> {
    body.collect().await.expect("body").to_bytes().to_vec()
}

fn request_with(body: Body) -> Request<Body> {
    post().map(|()| body)
}
