//! `make bench-ca`: what a certificate costs `ninon serve`, over the secure port, by a token.
//!
//! The control plane is a process of its own with a state directory. Keys and requests are made before the clock runs; what is
//! measured is the call: the token looked up, the request verified, the certificate signed, audited and sent. See `docs/benchmarks.md`.

#![expect(clippy::print_stdout, reason = "it is what this is for")]

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, settings, wire};
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

/// Certificates, and the time that they may take.
const MANY: usize = 2000;
const MANY_WITHIN: Duration = Duration::from_secs(10);
/// Of these at a time.
const AT_ONCE: usize = 64;
/// One by one in a second, for some seconds, and what the 99th of a hundred may take.
const RATE: u32 = 50;
const SECONDS: u32 = 10;
const P99: Duration = Duration::from_millis(20);
const READY: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(run())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            println!("bench-ca: {problem}");
            ExitCode::FAILURE
        }
    }
}

struct Server {
    process: Process,
    folder: Folder,
    secure: u16,
    api: u16,
}

impl Server {
    async fn start() -> Result<Self, String> {
        let folder = Folder::new();
        let [xds, secure, api] = [ports::free(), ports::free(), ports::free()];
        let mut command = Command::new(settings::control_plane_binary());
        command.arg("serve").arg("--state-dir").arg(folder.path().join("data"));
        for (flag, port) in [("--xds-address", xds), ("--secure-xds-address", secure), ("--api-address", api)] {
            command.args([flag, &format!("127.0.0.1:{port}")]);
        }
        let server = Self { process: Process::start(command, Folder::new())?, folder, secure, api };
        let is_ready = async || wire::get(api, "/readyz").await.is_ok_and(|(status, _)| status == 200).then_some(());
        match eventually(READY, is_ready).await {
            Some(()) => Ok(server),
            None => Err(format!("ninon serve is not ready; it wrote:\n{}", server.process.log())),
        }
    }

    fn ninon(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(settings::control_plane_binary());
        command.args(words).env("NINON_SERVER", format!("http://127.0.0.1:{}", self.api));
        command.env("NINON_TOKEN_FILE", self.folder.path().join("data/admin-token"));
        let output = command.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    async fn connect(&self, connections: &mut JoinSet<()>) -> Result<SendRequest<Bytes>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("connecting: {error}");
        let root = CertificateDer::from_pem_slice(self.ninon(&["ca", "roots"])?.as_bytes()).map_err(|error| failed(&error))?;
        let mut roots = RootCertStore::empty();
        roots.add(root).map_err(|error| failed(&error))?;
        // The library would refuse everything below a root that says something of URIs.
        roots.roots.iter_mut().for_each(|root| root.name_constraints = None);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| failed(&error))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", self.secure)).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let name = ServerName::try_from("localhost").map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| failed(&error))?;
        let (client, connection) = h2::client::handshake(stream).await.map_err(|error| failed(&error))?;
        // Why it ended is told by the calls on it.
        connections.spawn(async move { drop(connection.await) });
        Ok(client)
    }
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

async fn run() -> Result<bool, String> {
    let server = Server::start().await?;
    let token: Arc<str> = server.ninon(&["token", "create", "-n", "bench"])?.trim().into();
    let requests = |count| -> Result<Vec<Bytes>, String> {
        let one = || CertificateParams::default().serialize_request(&KeyPair::generate()?)?.pem();
        (0..count).map(|_| one().map(framed).map_err(|error: rcgen::Error| error.to_string())).collect()
    };
    let mut connections = JoinSet::new();
    let (client, many) = (server.connect(&mut connections).await?, requests(MANY)?);
    let begun = Instant::now();
    let (mut calls, mut count) = (JoinSet::new(), 0);
    for frame in many {
        while calls.len() >= AT_ONCE {
            calls.join_next().await.ok_or("no call")?.map_err(|error| error.to_string())??;
            count += 1;
        }
        calls.spawn(certify(client.clone(), Arc::clone(&token), frame));
    }
    while let Some(call) = calls.join_next().await {
        call.map_err(|error| error.to_string())??;
        count += 1;
    }
    let all = begun.elapsed();
    println!("{count} certificates, {AT_ONCE} at a time: {:.2} s, {:.0} a second", all.as_secs_f64(), f64::from(count) / all.as_secs_f64());

    let mut times = Vec::new();
    let mut beat = tokio::time::interval(Duration::from_secs(1) / RATE);
    let mut calls = JoinSet::new();
    for frame in requests(usize::try_from(RATE * SECONDS).unwrap_or_default())? {
        beat.tick().await;
        calls.spawn(certify(client.clone(), Arc::clone(&token), frame));
    }
    while let Some(call) = calls.join_next().await {
        times.push(call.map_err(|error| error.to_string())??);
    }
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    println!("{} certificates, {RATE} a second: median {:?}, p99 {:?}, longest {:?}", times.len(), at(50), at(99), times.last());
    let good = all <= MANY_WITHIN && at(99) <= P99;
    println!("{}", if good { "as it is to be" } else { "NOT as it is to be: 2000 within 10 s, p99 at 50 a second within 20 ms" });
    Ok(good)
}
