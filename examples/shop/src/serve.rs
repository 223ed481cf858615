//! A server of requests that ends well.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// What has begun may take this long to end.
const GRACE: Duration = Duration::from_secs(5);

/// Which version of HTTP a service speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, known to be spoken.
    Http2,
}

/// Answers requests until SIGTERM; then takes no more connections, and ends when those that there are have their answers.
pub(crate) async fn serve<A, F>(address: SocketAddr, version: Version, answer: A) -> io::Result<()>
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind(address).await?;
    let builder = Builder::new(TokioExecutor::new());
    let builder = match version {
        Version::Http1 => builder.http1_only(),
        Version::Http2 => builder.http2_only(),
    };
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut ended = pin!(asked_to_end());
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
                // How a connection ends is its client's affair.
                connections.spawn(async move { drop(connection.await) });
            }
            Some(_) = connections.join_next() => {}
            () = &mut ended => break,
        }
    }
    drop(listener);
    // Whoever is not done by then is left alone.
    let _late = tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err();
    Ok(())
}

/// SIGTERM, or Ctrl-C.
pub(crate) async fn asked_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        // Without a handler the system ends the process as it does any other.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
