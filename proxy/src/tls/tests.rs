use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use crate::config::identity::{CertificatePem, CertificateSource, ClientTls, SanKind, SanMatch, ServerTls, TlsVersion, Validation};
use crate::config::matcher::{StringMatch, StringPattern, full_match_regex};
use crate::exchange::info::TlsInfo;
use crate::tls::{HandshakeError, HandshakeFailure, Peer, TlsError, client, server};

mod chains;
mod clients;
mod domains;
mod servers;
mod settings;
mod source;

/// An authority that tests issue certificates with.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// Name constraints (RFC 5280, 4.2.1.10) that permit URIs of one host, and perhaps names of another kind.
fn only_uris_of(host: &str, more: &[u8]) -> CustomExtension {
    let tagged = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
    let uri = tagged(0x30, &tagged(0x86, host.as_bytes()));
    let content = tagged(0x30, &tagged(0xa0, &[&uri, more].concat()));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], content);
    extension.set_criticality(true);
    extension
}

impl Authority {
    fn new(name: &str) -> Self {
        Self::with(name, |_| {})
    }

    fn with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for these names: `spiffe:...`, an address, something with an @, or a host.
    fn issue(&self, names: &[&str]) -> CertificateSource {
        self.issue_with(names, |_| {})
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateSource {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        params.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        pem(&certificate.pem(), &key.serialize_pem())
    }

    fn crl(&self, revoked: &[u64], next_update: i32) -> Arc<[u8]> {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(next_update, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(|serial| revoked_certificate(*serial)).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        Arc::from(list.pem().unwrap().into_bytes())
    }

    /// Trusts this authority, and nothing more is asked.
    fn trust(&self) -> Validation {
        Validation::of_roots(self.certificate.pem().into_bytes())
    }

    fn trust_only(&self, kind: SanKind, pattern: StringPattern) -> Validation {
        Validation { subject_alt_names: vec![san(kind, pattern)], ..self.trust() }
    }
}

fn alternative_name(name: &str) -> SanType {
    if let Ok(address) = name.parse::<IpAddr>() {
        return SanType::IpAddress(address);
    }
    let text = name.try_into().unwrap();
    match name {
        _ if name.contains("://") => SanType::URI(text),
        _ if name.contains('@') => SanType::Rfc822Name(text),
        _ => SanType::DnsName(text),
    }
}

fn revoked_certificate(serial: u64) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2021, 1, 1),
        reason_code: None,
        invalidity_date: None,
    }
}

fn pem(chain: &str, key: &str) -> CertificateSource {
    CertificatePem { chain: chain.as_bytes().to_vec(), key: key.as_bytes().to_vec(), file: None }.into()
}

fn san(kind: SanKind, pattern: StringPattern) -> SanMatch {
    SanMatch { kind, name: StringMatch::new(pattern, false) }
}

fn exact(text: &str) -> StringPattern {
    StringPattern::Exact(text.to_owned())
}

fn server_tls(certificates: Vec<CertificateSource>) -> ServerTls {
    ServerTls {
        certificates,
        validation: None,
        require_client_certificate: false,
        alpn: Vec::new(),
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
    }
}

fn client_tls() -> ClientTls {
    ClientTls {
        certificate: None,
        validation: None,
        sni: None,
        auto_host_sni: false,
        alpn: Vec::new(),
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
    }
}

const LIMIT: Duration = Duration::from_secs(10);

/// What both sides know after a handshake and an exchange of one byte each way.
struct Met {
    server: Result<TlsInfo, HandshakeError>,
    client: Result<ClientSide, HandshakeError>,
}

#[derive(Debug)]
struct ClientSide {
    alpn: Option<Vec<u8>>,
    group: rustls::NamedGroup,
    /// The leaf that the server showed.
    certificate: Vec<u8>,
    resumed: bool,
}

/// What happened, without who it was.
fn plain(error: HandshakeError) -> String {
    HandshakeError { theirs: None, ours: None, ..error }.to_string()
}

async fn meet(server: &ServerTls, client: &ClientTls) -> Met {
    let name = client.sni.as_deref().unwrap_or("127.0.0.1").to_owned();
    let client = client::client_config(client, &[]).unwrap();
    meet_as(server::config(server).unwrap(), client, &name).await
}

async fn meet_as(server: Arc<ServerConfig>, client: Arc<ClientConfig>, name: &str) -> Met {
    let (near, far) = duplex(65536);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let (server, client) = tokio::join!(serve(far, server), connect(near, client, name));
    Met { server, client }
}

async fn serve(io: DuplexStream, config: Arc<ServerConfig>) -> Result<TlsInfo, HandshakeError> {
    let (mut stream, info) = server::accept(io, config, LIMIT).await?;
    let _ = stream.read_u8().await;
    let _ = stream.write_all(b"x").await;
    let _ = stream.shutdown().await;
    Ok(info)
}

async fn connect(io: DuplexStream, config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<ClientSide, HandshakeError> {
    let told = |error: std::io::Error| HandshakeError::new(Peer::Server, &error);
    let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, io).await.map_err(told)?;
    stream.write_all(b"x").await.map_err(told)?;
    stream.flush().await.map_err(told)?;
    stream.read_u8().await.map_err(told)?;
    let connection = stream.get_ref().1;
    Ok(ClientSide {
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        group: connection.negotiated_key_exchange_group().unwrap().name(),
        certificate: connection.peer_certificates().unwrap()[0].to_vec(),
        resumed: connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    })
}

fn leaf(source: &CertificateSource) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    let pem = source.load();
    rustls::pki_types::CertificateDer::from_pem_slice(&pem.chain).unwrap().to_vec()
}
