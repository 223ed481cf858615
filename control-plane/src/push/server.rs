//! Serves a listener.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tracing::warn;
use xds_proto::envoy::service::load_stats::v3::load_reporting_service_server::LoadReportingServiceServer;
use xds_proto::envoy::service::status::v3::client_status_discovery_service_server::ClientStatusDiscoveryServiceServer;
use xds_proto::istio::v1::auth::istio_certificate_service_server::IstioCertificateServiceServer;

use crate::push::certificates::{Certificates, LARGEST_REQUEST};
use crate::push::client_status::ClientStatus;
use crate::push::connection::Connection;
use crate::push::load::LoadReporting;
use crate::push::secure::{Doorkeeper, Handshakes};
use crate::push::service::Service;
use crate::push::{Certifier, Push};

/// Long enough for a file descriptor to become free.
pub(super) const AFTER_ERROR: Duration = Duration::from_millis(100);
/// What a client may send before it is read; requests are small.
const WINDOW: u32 = 64 * 1024;
/// Streams of one connection; a proxy has two or three.
const STREAMS: u32 = 100;

/// Why nothing can be served.
#[derive(Debug)]
pub enum Fault {
    /// The descriptors are not what reflection takes.
    Reflection(tonic_reflection::server::Error),
    /// The server cannot be set up.
    Transport(tonic::transport::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reflection(_) => f.write_str("the descriptors of the services cannot be served"),
            Self::Transport(_) => f.write_str("xDS cannot be served"),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Reflection(error) => Some(error),
            Self::Transport(error) => Some(error),
        }
    }
}

/// All services.
///
/// # Errors
/// None in practice: the descriptors are embedded, and a test serves them.
pub async fn routes(push: &Arc<Push>, health: &HealthReporter) -> Result<Routes, Fault> {
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure();
        let builder = builder.register_encoded_file_descriptor_set(xds_proto::DESCRIPTORS);
        builder.register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    health.set_serving::<Service>().await;
    let status = ClientStatus::new(Arc::clone(&push.proxies));
    let load = LoadReportingServiceServer::new(LoadReporting::new(Arc::clone(push)));
    let routes = Routes::new(Service::new(Arc::clone(push)))
        .add_service(ClientStatusDiscoveryServiceServer::new(status))
        .add_service(load.max_decoding_message_size(push.settings.request))
        .add_service(HealthServer::new(HealthService::from_health_reporter(health.clone())))
        .add_service(reflection().build_v1().map_err(Fault::Reflection)?)
        .add_service(reflection().build_v1alpha().map_err(Fault::Reflection)?);
    Ok(routes.prepare())
}

/// Serves until it is time to stop: then every stream is ended, and clients go to another replica.
///
/// # Errors
/// If the server cannot be set up.
pub async fn serve(listener: TcpListener, push: Arc<Push>) -> Result<(), Fault> {
    let health = HealthReporter::new();
    let routes = routes(&push, &health).await?;
    serve_on(Incoming { listener, pause: None }, push, routes, health).await
}

/// The same with TLS, and with certificates for those who may have them.
///
/// # Errors
/// If the server cannot be set up.
pub async fn serve_secure(
    listener: TcpListener,
    push: Arc<Push>,
    keeper: Arc<dyn Doorkeeper>,
    by: Arc<dyn Certifier>,
) -> Result<(), Fault> {
    let health = HealthReporter::new();
    let service = IstioCertificateServiceServer::new(Certificates::new(by)).max_decoding_message_size(LARGEST_REQUEST);
    let routes = routes(&push, &health).await?.add_service(service);
    serve_on(Handshakes::begin(listener, keeper), push, routes.prepare(), health).await
}

async fn serve_on<T>(
    incoming: impl Stream<Item = io::Result<Connection<T>>>,
    push: Arc<Push>,
    routes: Routes,
    health: HealthReporter,
) -> Result<(), Fault>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = &push.settings;
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(settings.ping))
        .http2_keepalive_timeout(Some(settings.pong))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 4)
        .max_concurrent_streams(STREAMS);
    let serving = server.add_routes(routes).serve_with_incoming_shutdown(incoming, async {
        stopped(&push, Duration::ZERO).await;
        health.set_not_serving::<Service>().await;
        health.set_service_status("", ServingStatus::NotServing).await;
    });
    tokio::select! {
        result = serving => result.map_err(Fault::Transport),
        () = stopped(&push, settings.farewell) => Ok(()),
    }
}

/// Waits until it is time to stop, and some time more.
pub async fn stopped(push: &Push, more: Duration) {
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
