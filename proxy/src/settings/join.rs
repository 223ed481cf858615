//! Flags of a proxy that joins a mesh: who its workload is, and what shows it. They take the place of a bootstrap file.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use crate::config::identity::{Enrolment, OWN_CERTIFICATE, OWN_TRUST, Token};
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
    /// Certificates, PEM, of those whom the control plane's first certificate may be from [default: the token tells]
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

/// There has to be a token to join by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("--mesh needs --token or --token-file: see `ninon token create`")
    }
}

impl Join {
    /// How the proxy gets its identity; `None` where it does not join a mesh.
    ///
    /// # Errors
    /// See [`NoToken`].
    pub fn enrolment(&self) -> Result<Option<Enrolment>, NoToken> {
        if self.mesh.is_empty() {
            return Ok(None);
        }
        let token = match (&self.token, &self.token_file) {
            (Some(Secret(token)), _) => Token::Given(token.as_str().into()),
            (None, Some(path)) => Token::File(path.clone()),
            (None, None) => return Err(NoToken),
        };
        Ok(Some(Enrolment::new(token, self.mesh_ca.clone(), self.certificate_ttl)))
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
