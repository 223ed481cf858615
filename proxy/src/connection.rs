//! The story of a connection: detect -> chain -> tls -> HTTP or TCP. Calls the stages, holds no logic of theirs.

/// How long a connection of mutual TLS lasts.
mod bond;
/// Where it arrived.
mod place;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::accept::chain::{self, Facts};
use crate::config::access_log::AccessLog;
use crate::config::address::Address;
use crate::config::http::CodecChoice;
use crate::config::listener::{ChainHandler, Direction, TransportProtocol};
use crate::detect::{self, DetectError, Detected};
use crate::drain::Farewell;
use crate::exchange::{Certificate, ConnectionInfo, ResponseFlag, StreamInfo, TlsInfo};
use crate::runtime::policy::Refusal;
use crate::runtime::{ActiveChain, ActiveListener, ChainStats};
use crate::stream::{ReadAhead, Rewind, Socket, most};
use crate::task::Seldom;
use crate::telemetry::metrics::PeerStats;
use crate::telemetry::substitution::Exchange;
use crate::tls::HandshakeFailure;
use crate::worker::Worker;
use crate::{request, tunnel};

use place::{Place, prepare};

/// How long a handshake may take where the chain does not say: slow clients have time, silent ones are let go.
const HANDSHAKE_LIMIT: std::time::Duration = std::time::Duration::from_secs(15);

/// Connections get numbers, unique in this process.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Serves one connection from its first byte to its last. What follows detection is boxed, so that a client that says nothing
/// costs what detection needs, not what the longest of the protocols would.
pub async fn serve(worker: Rc<Worker>, listener: Arc<ActiveListener>, mut socket: Socket, peer: Address) {
    let place = prepare(&listener, &socket);
    let mut seen = BytesMut::new();
    let detected = match detect::detect(&mut socket, &mut seen, &listener.config.detection).await {
        Ok(detected) => detected,
        Err(error) => return refuse(&worker, &listener, &peer, &error),
    };
    let info = describe(&listener, place, peer, &detected);
    let Some(chain) = choose_chain(&listener, &info, &detected) else {
        listener.stats.no_filter_chain_match.inc();
        worker.tell_no_chain(&info);
        let mut stream = StreamInfo::new(Rc::new(info));
        stream.flags.set(ResponseFlag::NoRouteFound);
        stream.details = "filter_chain_not_found".into();
        return log_stream(&listener.config.access_log, &worker, stream);
    };
    let stream = Rewind::new(seen.freeze(), socket);
    let over = Seldom::new(chain.farewell.over(worker.shared.drain_time));
    tokio::select! {
        biased;
        () = handle(Rc::clone(&worker), &listener, Arc::clone(&chain), info, stream) => {}
        // The chain is gone from the configuration, and has been for as long as connections are given to end.
        () = over => {}
    }
}

/// What follows the choice of a chain.
async fn handle(worker: Rc<Worker>, listener: &ActiveListener, chain: Arc<ActiveChain>, info: ConnectionInfo, stream: Rewind<Socket>) {
    match &chain.tls {
        None => serve_plain(worker, listener, chain, Rc::new(info), stream).await,
        Some(source) => {
            let limit = chain.config.handshake_timeout;
            let ready = source.ready();
            match Box::pin(crate::tls::server::accept(ReadAhead::new(stream), ready.config(), limit.unwrap_or(HANDSHAKE_LIMIT))).await {
                Ok((stream, tls)) => {
                    listener.stats.ssl_handshake.inc();
                    if !tls.peer_presented {
                        listener.stats.ssl_no_certificate.inc();
                    }
                    let bond = ready.bond(stream.get_ref().1);
                    let info = ConnectionInfo { tls: Some(with_chain(tls, &chain, stream.get_ref().1)), ..info };
                    let info = Rc::new(info);
                    match bond {
                        None => {
                            let farewell = Arc::clone(&chain.farewell);
                            Box::pin(serve_tls(worker, listener, chain, info, stream, &farewell)).await;
                        }
                        Some(bond) => {
                            // Such a connection is told to go for reasons of its own.
                            let farewell = Farewell::default();
                            let shared = Arc::clone(&worker.shared);
                            let (own, all) = (Arc::clone(&chain), Arc::clone(&chain.farewell));
                            let told = async {
                                all.told().await;
                                farewell.tell();
                                std::future::pending().await
                            };
                            let over = Seldom::new(async {
                                tokio::select! {
                                    () = bond::over(&bond, source, &chain, listener, &shared, &farewell) => {}
                                    () = told => {}
                                }
                            });
                            // A connection of plain text needs no room for it.
                            until(over, Box::pin(serve_tls(worker, listener, own, info, stream, &farewell))).await;
                        }
                    }
                }
                Err(error) => {
                    count_handshake_failure(listener, &error.cause);
                    worker.tell_no_handshake(&info, &error);
                    log_unserved(&worker, listener, &Rc::new(info));
                }
            }
        }
    }
}

/// The client's certificates are kept where they are told to others.
fn with_chain(mut tls: TlsInfo, chain: &ActiveChain, connection: &rustls::ServerConnection) -> TlsInfo {
    if matches!(&chain.config.handler, ChainHandler::Http(manager) if manager.tells_certificates()) {
        let shown = connection.peer_certificates().unwrap_or_default();
        tls.peer_chain = shown.iter().map(|certificate| certificate.to_vec()).collect();
    }
    tls
}

/// As Envoy: what a certificate is refused for is no error of the connection.
fn count_handshake_failure(listener: &ActiveListener, cause: &HandshakeFailure) {
    let stats = &listener.stats;
    match cause {
        HandshakeFailure::NoCertificate => stats.ssl_fail_verify_no_cert.inc(),
        HandshakeFailure::Certificate(_) => stats.ssl_fail_verify_error.inc(),
        HandshakeFailure::Name(_) => stats.ssl_fail_verify_san.inc(),
        HandshakeFailure::TimedOut(_)
        | HandshakeFailure::HungUp
        | HandshakeFailure::Alert(_)
        | HandshakeFailure::NotTls
        | HandshakeFailure::Protocol(_)
        | HandshakeFailure::Io(_) => stats.ssl_connection_error.inc(),
    }
}

fn refuse(worker: &Worker, listener: &ActiveListener, peer: &Address, error: &DetectError) {
    match error {
        DetectError::TimedOut => listener.stats.downstream_pre_cx_timeout.inc(),
        DetectError::ProxyProtocol(_) | DetectError::Closed => {}
    }
    worker.tell_undetected(&listener.config.name, peer, error);
}

fn describe(listener: &ActiveListener, place: Place, peer: Address, detected: &Detected) -> ConnectionInfo {
    let tls = detected.tls.as_ref();
    let (client, local, redirected) = match detected.proxied {
        Some((source, destination)) => {
            let destination = Address::Ip(destination);
            let elsewhere = place.redirected || destination != place.local;
            (Address::Ip(source), destination, elsewhere)
        }
        None => (peer.clone(), place.local, place.redirected),
    };
    ConnectionInfo {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        local,
        redirected,
        dialled_proxy: place.dialled_proxy && !redirected,
        source: place::source(listener, &client),
        peer,
        client,
        listener: listener.config.name.clone(),
        tls: tls.map(|hello| TlsInfo { sni: hello.server_name.clone(), ..TlsInfo::default() }),
        started: Instant::now(),
        termination: std::cell::OnceCell::new(),
    }
}

fn choose_chain(listener: &ActiveListener, info: &ConnectionInfo, detected: &Detected) -> Option<Arc<ActiveChain>> {
    let offered: Vec<String> = match (&detected.tls, detected.http) {
        (Some(hello), _) => hello.alpn.clone(),
        (None, Some(version)) => vec![version.application_protocol().to_owned()],
        (None, None) => Vec::new(),
    };
    let facts = Facts {
        destination: &info.local,
        peer: &info.peer,
        client: &info.client,
        server_name: detected.tls.as_ref().and_then(|hello| hello.server_name.as_deref()),
        transport: if detected.tls.is_some() { TransportProtocol::Tls } else { TransportProtocol::RawBuffer },
        application_protocols: &offered,
    };
    listener.chain(chain::select(&listener.config, &facts)?).cloned()
}

async fn serve_plain(
    worker: Rc<Worker>,
    listener: &ActiveListener,
    chain: Arc<ActiveChain>,
    info: Rc<ConnectionInfo>,
    stream: Rewind<Socket>,
) {
    let Some(forbidden) = admit(&worker, listener, &chain, &info).await else { return };
    let (prefix, socket) = stream.into_parts();
    match (&chain.config.handler, &chain.stats) {
        (ChainHandler::Http(manager), ChainStats::Http(stats)) => {
            let served = (Arc::clone(manager), Arc::clone(stats), Arc::clone(&chain.policy));
            let peer = peer(&worker, listener, &info);
            let connection = request::Connection::new(worker, served, info, chain.farewell.http(), peer);
            until(forbidden, serve_http(connection, manager.codec, prefix, socket)).await;
        }
        (ChainHandler::Tcp(tcp), ChainStats::Tcp(stats)) => {
            let _counted = peer(&worker, listener, &info);
            Box::pin(tunnel::serve(&worker, tcp, stats, info, (tunnel::plain(socket), prefix), forbidden)).await;
        }
        (ChainHandler::Http(_), ChainStats::Tcp(_)) | (ChainHandler::Tcp(_), ChainStats::Http(_)) => {}
    }
}

async fn serve_tls(
    worker: Rc<Worker>,
    listener: &ActiveListener,
    chain: Arc<ActiveChain>,
    info: Rc<ConnectionInfo>,
    mut stream: tokio_rustls::server::TlsStream<ReadAhead<Rewind<Socket>>>,
    farewell: &Farewell,
) {
    let Some(forbidden) = admit(&worker, listener, &chain, &info).await else { return };
    match (&chain.config.handler, &chain.stats) {
        (ChainHandler::Http(manager), ChainStats::Http(stats)) => {
            let agreed = info.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
            let codec = match (manager.codec, agreed) {
                (CodecChoice::Auto, Some("h2")) => CodecChoice::Http2,
                (CodecChoice::Auto, Some(_)) => CodecChoice::Http1,
                (codec, _) => codec,
            };
            let served = (Arc::clone(manager), Arc::clone(stats), Arc::clone(&chain.policy));
            let peer = peer(&worker, listener, &info);
            let connection = request::Connection::new(worker, served, info, farewell.http(), peer);
            until(forbidden, serve_http(connection, codec, Bytes::new(), stream)).await;
        }
        (ChainHandler::Tcp(tcp), ChainStats::Tcp(stats)) => {
            let _counted = peer(&worker, listener, &info);
            let most = most(listener.config.buffer_limit);
            // A large piece comes by one read, and goes out by one write.
            let (ahead, tls) = stream.get_mut();
            ahead.read_ahead(most);
            tls.set_buffer_limit(Some(most));
            let leg = crate::forward::tcp::Leg::Other(Box::new(stream), most);
            Box::pin(tunnel::serve(&worker, tcp, stats, info, (leg, Bytes::new()), forbidden)).await;
        }
        (ChainHandler::Http(_), ChainStats::Tcp(_)) | (ChainHandler::Tcp(_), ChainStats::Http(_)) => {}
    }
}

/// Counts a connection that comes to the application by who both sides are; what counts its requests.
fn peer(worker: &Worker, listener: &ActiveListener, info: &ConnectionInfo) -> Option<Arc<PeerStats>> {
    if listener.config.direction != Direction::Inbound {
        return None;
    }
    let tls = info.tls.as_ref();
    let source = tls.filter(|tls| tls.peer_validated).and_then(|tls| tls.peer.as_deref()).map(Certificate::principal);
    let own = tls.and_then(|tls| tls.local.as_deref()).map(Certificate::principal);
    let stats = worker.shared.registry.peer(source, own);
    stats.downstream_cx_total.inc();
    Some(stats)
}

/// Whether the client may connect: decided before a byte goes on, and again when the rules change. What is returned ends when they
/// forbid it. Of one that may not, a line is written and the connection is to be closed.
async fn admit(
    worker: &Rc<Worker>,
    listener: &ActiveListener,
    chain: &Arc<ActiveChain>,
    info: &Rc<ConnectionInfo>,
) -> Option<impl Future<Output = ()> + use<>> {
    match chain.policy.admit(info) {
        Ok(watch) => {
            let (policy, info) = (Arc::clone(&chain.policy), Rc::clone(info));
            Some(Seldom::new(async move {
                let refusal = policy.forbids(&info, watch).await;
                tracing::debug!(listener = %info.listener, client = %info.client, details = refusal.details, "forbidden from now on");
                info.terminated(refusal.details);
            }))
        }
        Err(Refusal { details, delay }) => {
            tracing::debug!(listener = %info.listener, client = %info.client, details, "may not connect");
            info.terminated(details);
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            log_refused(worker, listener, chain, info);
            None
        }
    }
}

/// In the log of the TCP proxy, and in the listener's.
fn log_refused(worker: &Worker, listener: &ActiveListener, chain: &ActiveChain, info: &Rc<ConnectionInfo>) {
    if let ChainHandler::Tcp(tcp) = &chain.config.handler {
        log_to(&tcp.access_log, worker, info);
    }
    log_unserved(worker, listener, info);
}

/// The listener's log is for connections that no filter chain serves.
fn log_unserved(worker: &Worker, listener: &ActiveListener, info: &Rc<ConnectionInfo>) {
    log_to(&listener.config.access_log, worker, info);
}

fn log_to(logs: &[AccessLog], worker: &Worker, info: &Rc<ConnectionInfo>) {
    log_stream(logs, worker, StreamInfo::new(Rc::clone(info)));
}

fn log_stream(logs: &[AccessLog], worker: &Worker, mut stream: StreamInfo) {
    if !logs.is_empty() {
        stream.ended = Some(Instant::now());
        worker.log.log(logs, &Exchange::of_connection(&stream, &worker.shared.hostname));
    }
}

async fn until(forbidden: impl Future<Output = ()>, served: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = forbidden => {}
        () = served => {}
    }
}

async fn serve_http<IO>(connection: request::Connection, codec: CodecChoice, prefix: Bytes, mut io: IO)
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let mut seen = BytesMut::from(prefix);
    let http2 = match codec {
        CodecChoice::Http1 => false,
        CodecChoice::Http2 => true,
        CodecChoice::Auto => connection.within_idle_limit(detect::is_http2(&mut io, &mut seen)).await.unwrap_or(false),
    };
    if http2 {
        Box::pin(connection.serve_http2(Rewind::new(seen.freeze(), io))).await;
    } else {
        Box::pin(connection.serve_http1(io, seen.freeze())).await;
    }
}
