//! Serves a listener.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::transport::Server;
use tracing::warn;

use crate::push::Push;
use crate::push::connection::Connection;
use crate::push::service::Service;

/// Long enough for a file descriptor to become free.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// What a client may send before it is read; requests are small.
const WINDOW: u32 = 64 * 1024;
/// Streams of one connection; a proxy has two or three.
const STREAMS: u32 = 100;

/// All services.
pub fn routes(push: &Arc<Push>) -> Routes {
    Routes::new(Service::new(Arc::clone(push)))
}

/// Serves until it is time to stop: then every stream is ended, and clients go to another replica.
///
/// # Errors
/// If the server cannot be set up.
pub async fn serve(listener: TcpListener, push: Arc<Push>) -> Result<(), tonic::transport::Error> {
    let settings = &push.settings;
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(settings.ping))
        .http2_keepalive_timeout(Some(settings.pong))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4)
        .max_concurrent_streams(STREAMS);
    let incoming = Incoming { listener, pause: None };
    let serving = server.add_routes(routes(&push)).serve_with_incoming_shutdown(incoming, stopped(&push, Duration::ZERO));
    tokio::select! {
        result = serving => result,
        () = stopped(&push, settings.farewell) => Ok(()),
    }
}

/// Waits until it is time to stop, and some time more.
async fn stopped(push: &Push, more: Duration) {
    let mut stop = push.stop.clone();
    // That nobody can say so any more is the same.
    let _ = stop.wait_for(|stop| *stop).await;
    sleep(more).await;
}

/// Connections, for ever.
struct Incoming {
    listener: TcpListener,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Stream for Incoming {
    type Item = io::Result<Connection<TcpStream>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match std::task::ready!(self.listener.poll_accept(cx)) {
                Ok((stream, address)) => {
                    // A connection that cannot be set up so is as good.
                    let _ = stream.set_nodelay(true);
                    return Poll::Ready(Some(Ok(Connection::new(stream, Some(address)))));
                }
                Err(error) => {
                    warn!(%error, "a connection cannot be accepted");
                    self.pause = Some(Box::pin(sleep(AFTER_ERROR)));
                }
            }
        }
    }
}
