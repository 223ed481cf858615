use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::authority::server::provider;
use crate::task::OwnedTask;

/// No file of credentials and no answer is longer.
const LARGEST: usize = 1 << 20;

/// Where the API server of a cluster is, and by what this process is known to it: as a pod is told.
/// <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api>
#[derive(Clone, Debug)]
pub struct Cluster {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Folder of `token` and `ca.crt`, which are read each time: both are replaced now and then.
    pub credentials: PathBuf,
}

impl Cluster {
    /// Sends an object; status and answer.
    pub(super) async fn post(&self, path: &str, object: Vec<u8>) -> Result<(StatusCode, Bytes), String> {
        let (address, request) = (self.authority(), self.request(path, object)?);
        let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} {address}: {error}");
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| failed("connecting to", &error))?;
        let name = ServerName::try_from(self.host.clone()).map_err(|error| failed("the name of", &error))?;
        let tls = TlsConnector::from(Arc::new(self.config()?)).connect(name, tcp).await.map_err(|error| failed("TLS with", &error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(|error| failed("HTTP with", &error))?;
        // How it ends is told to whoever waits for the answer.
        let _runs = OwnedTask::spawn(async move { drop(connection.await) });
        let answer = sender.send_request(request).await.map_err(|error| failed("a request to", &error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| failed("the answer of", &error))?;
        Ok((head.status, body.to_bytes()))
    }

    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    fn request(&self, path: &str, object: Vec<u8>) -> Result<Request<Full<Bytes>>, String> {
        let token = text(&self.credentials.join("token"))?;
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(|_| "the token of this pod is none".to_owned())?;
        bearer.set_sensitive(true);
        let request = Request::builder().method(Method::POST).uri(path).header(HOST, self.authority()).header(AUTHORIZATION, bearer);
        let request = request.header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json");
        request.body(Full::new(Bytes::from(object))).map_err(|error| error.to_string())
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let path = self.credentials.join("ca.crt");
        let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text(&path)?.as_bytes()) {
            roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
        }
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12]);
        let mut config = builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn text(path: &Path) -> Result<String, String> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(u64::try_from(LARGEST).unwrap_or(u64::MAX)).read_to_string(&mut text)?;
        Ok(text)
    };
    read().map_err(|error| format!("{}: {error}", path.display()))
}
