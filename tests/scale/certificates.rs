//! Certificates for tokens, over one connection of the secure port. Keys and requests are made before the clock runs; what is measured is
//! the call: the token looked up, the request verified, the certificate signed, audited and sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use prost::Message as _;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use xds_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};

use crate::server::Server;

/// Of many, so many at a time.
const AT_ONCE: usize = 64;

/// Somebody with a token.
pub struct Joiner {
    client: SendRequest<Bytes>,
    token: Arc<str>,
    _connection: JoinSet<()>,
}

impl Joiner {
    pub async fn connect(server: &Server) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("connecting: {error}");
        let token = server.ninon(&["token", "create", "-n", "bench"])?.trim().into();
        let root = CertificateDer::from_pem_slice(server.ninon(&["ca", "roots"])?.as_bytes()).map_err(|error| failed(&error))?;
        let mut roots = RootCertStore::empty();
        roots.add(root).map_err(|error| failed(&error))?;
        // The library would refuse everything below a root that says something of URIs.
        roots.roots.iter_mut().for_each(|root| root.name_constraints = None);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| failed(&error))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", server.secure)).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let name = ServerName::try_from("localhost").map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| failed(&error))?;
        let (client, connection) = h2::client::handshake(stream).await.map_err(|error| failed(&error))?;
        let mut connections = JoinSet::new();
        // Why it ended is told by the calls on it.
        connections.spawn(async move { drop(connection.await) });
        Ok(Self { client, token, _connection: connections })
    }

    /// So many as fast as they come: seconds.
    pub async fn many(&self, requests: Vec<Bytes>) -> Result<f64, String> {
        let begun = Instant::now();
        let mut calls = JoinSet::new();
        for frame in requests {
            while calls.len() >= AT_ONCE {
                calls.join_next().await.ok_or("no call")?.map_err(|error| error.to_string())??;
            }
            calls.spawn(certify(self.client.clone(), Arc::clone(&self.token), frame));
        }
        while let Some(call) = calls.join_next().await {
            call.map_err(|error| error.to_string())??;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// One by one, evenly spaced: milliseconds of each.
    pub async fn paced(&self, requests: Vec<Bytes>, per_second: u32) -> Result<Vec<f64>, String> {
        let mut beat = tokio::time::interval(Duration::from_secs(1) / per_second);
        let mut calls = JoinSet::new();
        for frame in requests {
            beat.tick().await;
            calls.spawn(certify(self.client.clone(), Arc::clone(&self.token), frame));
        }
        let mut times = Vec::new();
        while let Some(call) = calls.join_next().await {
            times.push(call.map_err(|error| error.to_string())??.as_secs_f64() * 1000.0);
        }
        Ok(times)
    }
}

/// Requests for certificates, each for a key of its own.
pub fn requests(count: u32) -> Result<Vec<Bytes>, String> {
    let one = || CertificateParams::default().serialize_request(&KeyPair::generate()?)?.pem();
    (0..count).map(|_| one().map(framed).map_err(|error: rcgen::Error| error.to_string())).collect()
}

/// A request as it goes over the wire.
fn framed(csr: String) -> Bytes {
    let message = IstioCertificateRequest { csr, ..IstioCertificateRequest::default() }.encode_to_vec();
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&message);
    frame.freeze()
}

/// One certificate; how long it took.
async fn certify(client: SendRequest<Bytes>, token: Arc<str>, frame: Bytes) -> Result<Duration, String> {
    let failed = |error: &dyn std::fmt::Display| format!("a call: {error}");
    let path = "https://localhost/istio.v1.auth.IstioCertificateService/CreateCertificate";
    let request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    let request = request.header("authorization", format!("Bearer {token}")).body(()).map_err(|error| failed(&error))?;
    let begun = Instant::now();
    let mut client = client.ready().await.map_err(|error| failed(&error))?;
    let (answer, mut body) = client.send_request(request, false).map_err(|error| failed(&error))?;
    body.send_data(frame, true).map_err(|error| failed(&error))?;
    let mut answer = answer.await.map_err(|error| failed(&error))?.into_body();
    let mut bytes = Vec::new();
    while let Some(some) = answer.data().await {
        bytes.extend_from_slice(&some.map_err(|error| failed(&error))?);
    }
    let trailers = answer.trailers().await.map_err(|error| failed(&error))?.unwrap_or_default();
    let took = begun.elapsed();
    let status = trailers.get("grpc-status").and_then(|status| status.to_str().ok()).unwrap_or("none").to_owned();
    let chain = bytes.get(5..).and_then(|message| IstioCertificateResponse::decode(message).ok()).map_or(0, |said| said.cert_chain.len());
    if status == "0" && chain == 2 { Ok(took) } else { Err(format!("a call ended with status {status} and {chain} certificates")) }
}
