//! Flags of a proxy that joins a mesh: who its workload is, and what shows it. They take the place of a bootstrap file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use crate::config::identity::{Enrolment, Joining, Means, OWN_CERTIFICATE, OWN_TRUST, Token, WorkloadApi};
use crate::settings::mesh::{Pair, Place};

/// What a workload's sidecar is told to join a mesh by.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// The mesh's control plane, HOST:PORT of its secure port, instead of a bootstrap file: the proxy gets a certificate there, renews
    /// it, and follows it by mutual TLS; of several, the next is tried when one fails
    #[arg(long, value_name = "ADDRESS,...", env = "NINON_MESH", value_delimiter = ',', group = "control_plane")]
    pub mesh: Vec<Place>,
    /// What shows to the control plane that the workload belongs to the mesh: see `ninon token create`
    #[arg(long, value_name = "TOKEN", env = "NINON_JOIN_TOKEN", hide_env_values = true, requires = "mesh", conflicts_with = "token_file")]
    pub token: Option<Secret>,
    /// File with that token, read whenever it is needed
    #[arg(long, value_name = "FILE", env = "NINON_JOIN_TOKEN_FILE", requires = "mesh")]
    pub token_file: Option<PathBuf>,
    /// SPIFFE's Workload API, unix:PATH or unix:///PATH, that gives the proxy its identity, instead of a token; with a bootstrap file, its
    /// secrets `default`, `ROOTCA` and `ALL` [default: with --mesh and no token, what SPIFFE_ENDPOINT_SOCKET says]
    #[arg(long, value_name = "ADDRESS", env = "NINON_WORKLOAD_API_ADDRESS", conflicts_with_all = ["token", "token_file", "certificate_ttl"])]
    pub workload_api_address: Option<Socket>,
    /// Where the Workload API is, as SPIFFE names it.
    #[arg(long, hide = true, value_name = "ADDRESS", env = "SPIFFE_ENDPOINT_SOCKET")]
    pub spiffe_endpoint_socket: Option<String>,
    /// Certificates, PEM, of those whom the control plane's first certificate may be from [default: the token, or the Workload API, tells]
    #[arg(long, value_name = "FILE", env = "NINON_MESH_CA", requires = "mesh")]
    pub mesh_ca: Option<PathBuf>,
    /// How long the proxy's certificates are to be valid [default: the control plane decides]
    #[arg(long, value_name = "DURATION", env = "NINON_CERTIFICATE_TTL", requires = "mesh", value_parser = humantime::parse_duration)]
    pub certificate_ttl: Option<Duration>,
    /// Name of the workload that the proxy is beside [default: --node-id, else the name of this machine]
    #[arg(long, value_name = "NAME", env = "NINON_WORKLOAD", requires = "mesh")]
    pub workload: Option<String>,
    /// Ports of the workload, as others know them, and where the application listens if that is another port; a name that begins with
    /// http, http2, grpc, tcp or tls says what is spoken
    #[arg(long = "port", value_name = "[NAME=]PORT[:APPLICATION_PORT],...", env = "NINON_PORTS", requires = "mesh", value_delimiter = ',')]
    pub ports: Vec<Port>,
    /// Labels of the workload, which services select it by
    #[arg(long = "label", value_name = "KEY=VALUE,...", env = "NINON_LABELS", requires = "mesh", value_delimiter = ',')]
    pub labels: Vec<Pair>,
    /// Addresses where others reach the workload [default: the one that the proxy connects from]
    #[arg(long = "address", value_name = "IP,...", env = "NINON_ADDRESSES", requires = "mesh", value_delimiter = ',')]
    pub addresses: Vec<IpAddr>,
    /// Where the application's own connections come to the proxy [default: 127.0.0.1:15001]
    #[arg(long, value_name = "ADDRESS", env = "NINON_OUTBOUND_ADDRESS", requires = "mesh")]
    pub outbound_address: Option<SocketAddr>,
    /// Where redirected connections to the application come to the proxy [default: 0.0.0.0:15006]
    #[arg(long, value_name = "ADDRESS", env = "NINON_INBOUND_ADDRESS", requires = "mesh")]
    pub inbound_address: Option<SocketAddr>,
}

/// A token on the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(Self(text.trim().to_owned())) }
    }
}

/// A Unix socket, as SPIFFE writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket(pub PathBuf);

impl FromStr for Socket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").map(|path| path.strip_prefix("//").unwrap_or(path));
        let path = path.filter(|path| path.starts_with('/') && !path.contains(['?', '#']));
        path.map(|path| Self(path.into())).ok_or_else(|| "not unix:PATH or unix:///PATH, with the whole path of a socket".to_owned())
    }
}

impl Socket {
    pub(super) fn means(self, trusted_ca: Option<PathBuf>) -> Means {
        Means::WorkloadApi(WorkloadApi { socket: self.0, trusted_ca })
    }
}

/// A port of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    name: Option<String>,
    number: u16,
    application: Option<u16>,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "not [NAME=]PORT[:APPLICATION_PORT]".to_owned();
        let (name, rest) = text.split_once('=').map_or((None, text), |(name, rest)| (Some(name.to_owned()), rest));
        let (number, application) = rest.split_once(':').map_or((rest, None), |(number, application)| (number, Some(application)));
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(wrong);
        if name.as_ref().is_some_and(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self { name, number: port(number)?, application: application.map(port).transpose()? })
    }
}

impl Port {
    fn json(&self) -> Json {
        // What is null is not there.
        let fields = [("name", json!(self.name)), ("port", json!(self.number)), ("applicationPort", json!(self.application))];
        Json::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// Why there is no way to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoIdentity {
    /// There has to be something to join by.
    NoToken,
    /// What SPIFFE's variable says cannot be used; why.
    Socket(String),
}

impl fmt::Display for NoIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("--mesh needs --token or --token-file (see `ninon token create`), or --workload-api-address"),
            Self::Socket(problem) => write!(f, "SPIFFE_ENDPOINT_SOCKET: {problem}"),
        }
    }
}

impl Join {
    /// How the proxy gets its identity; `None` where it has none of its own.
    ///
    /// # Errors
    /// See [`NoIdentity`].
    pub fn enrolment(&self) -> Result<Option<Enrolment>, NoIdentity> {
        let by_api = |socket: Socket| socket.means(self.mesh_ca.clone());
        if let Some(socket) = &self.workload_api_address {
            return Ok(Some(Enrolment::new(by_api(socket.clone()))));
        }
        if self.mesh.is_empty() {
            return Ok(None);
        }
        let token = match (&self.token, &self.token_file, self.spiffe_endpoint_socket.as_deref().unwrap_or_default()) {
            (Some(Secret(token)), _, _) => Token::Given(token.as_str().into()),
            (None, Some(path), _) => Token::File(path.clone()),
            (None, None, "") => return Err(NoIdentity::NoToken),
            (None, None, socket) => {
                let socket: Socket = socket.parse().map_err(NoIdentity::Socket)?;
                return Ok(Some(Enrolment::new(by_api(socket))));
            }
        };
        let joining = Joining { token, trusted_ca: self.mesh_ca.clone(), lifetime: self.certificate_ttl };
        Ok(Some(Enrolment::new(Means::Token(joining))))
    }

    /// What the control plane is told of the workload.
    pub(super) fn metadata(&self, node_id: &str) -> Map<String, Json> {
        if self.mesh.is_empty() {
            return Map::new();
        }
        let labels: Map<String, Json> = self.labels.iter().map(|Pair(key, value)| (key.clone(), value.as_str().into())).collect();
        let ports: Vec<Json> = self.ports.iter().map(Port::json).collect();
        let sidecar = [("outbound", self.outbound_address), ("inbound", self.inbound_address)];
        let sidecar: Map<String, Json> =
            sidecar.into_iter().filter_map(|(key, address)| Some((key.to_owned(), address?.to_string().into()))).collect();
        let fields = [
            ("WORKLOAD_NAME", Some(json!(self.workload.as_deref().unwrap_or(node_id)))),
            ("LABELS", (!labels.is_empty()).then_some(Json::Object(labels))),
            ("PORTS", (!ports.is_empty()).then_some(Json::Array(ports))),
            ("ADDRESSES", (!self.addresses.is_empty()).then(|| json!(self.addresses))),
            ("SIDECAR", (!sidecar.is_empty()).then_some(Json::Object(sidecar))),
        ];
        fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// TLS to the control plane: by the proxy's own certificate, to nobody else.
pub(super) fn tls() -> Json {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "tls_params": { "tls_minimum_protocol_version": "TLSv1_3" },
                "tls_certificate_sds_secret_configs": [{ "name": OWN_CERTIFICATE }],
                "alpn_protocols": ["h2"],
                // Whose certificate it has to be is told with the roots: that depends on the trust domain.
                "validation_context_sds_secret_config": { "name": OWN_TRUST },
            },
        },
    })
}
