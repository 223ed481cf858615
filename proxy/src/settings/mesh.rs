//! Flags that take the place of a bootstrap file: they make the same structure.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::settings::join::{self, Join};
use crate::settings::redirect::InboundMode;

/// Where a control plane is, and who the proxy is to it.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Mesh {
    /// Control plane, HOST:PORT or unix:PATH, instead of a bootstrap file; of several, the next is tried when one fails
    #[arg(long, value_name = "ADDRESS,...", env = "NINON_XDS_ADDRESS", value_delimiter = ',', group = "control_plane")]
    pub xds_address: Vec<Place>,
    /// Certificates, PEM, of those whom the control plane's certificate may be from: speak TLS to it [default: plain text]
    #[arg(long, value_name = "FILE", env = "NINON_XDS_CA", requires = "xds_address")]
    pub xds_ca: Option<PathBuf>,
    /// Name that the control plane's certificate has to have [default: the host of its address]
    #[arg(long, value_name = "NAME", env = "NINON_XDS_SERVER_NAME", requires = "xds_ca")]
    pub xds_server_name: Option<String>,
    /// The proxy's own certificate towards the control plane, PEM
    #[arg(long, value_name = "FILE", env = "NINON_XDS_CERTIFICATE", requires = "xds_key", requires = "xds_ca")]
    pub xds_certificate: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", env = "NINON_XDS_KEY", requires = "xds_certificate")]
    pub xds_key: Option<PathBuf>,
    /// Who the proxy is to the control plane [default: --workload, else the name of this machine]
    #[arg(long, value_name = "NAME", env = "NINON_NODE_ID", requires = "control_plane")]
    pub node_id: Option<String>,
    /// The service that it belongs to
    #[arg(long, value_name = "NAME", env = "NINON_NODE_CLUSTER", requires = "control_plane", default_value = "ninon-proxy")]
    pub node_cluster: String,
    /// What else the control plane is told of it
    #[arg(long, value_name = "KEY=VALUE,...", env = "NINON_NODE_METADATA", requires = "control_plane", value_delimiter = ',')]
    pub node_metadata: Vec<Pair>,
    /// How connections that come to this machine reach the proxy, as `redirect --inbound-mode` makes it; with tproxy the application sees
    /// its clients' addresses, and the proxy needs CAP_NET_ADMIN [default: redirect]
    #[arg(
        long,
        alias = "inbound-interception-mode",
        value_name = "MODE",
        env = "NINON_INBOUND_MODE",
        requires = "control_plane",
        value_enum,
        ignore_case = true
    )]
    pub inbound_mode: Option<InboundMode>,
    /// Address and port of the admin page
    #[arg(long, value_name = "ADDRESS", env = "NINON_ADMIN_ADDRESS", requires = "control_plane", default_value = "127.0.0.1:15000")]
    pub admin_address: Option<SocketAddr>,
}

/// Where a control plane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address and a port.
    Ip(SocketAddr),
    /// A name that is looked up, and a port.
    Name(String, u16),
    /// A Unix socket.
    Unix(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err("unix: needs a path".to_owned()) } else { Ok(Self::Unix(path.to_owned())) };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let port = |port: &str| port.parse().ok().filter(|port| *port != 0);
        let named = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains([':', '/']));
        let named = named.and_then(|(host, number)| Some(Self::Name(host.to_owned(), port(number)?)));
        named.ok_or_else(|| "neither HOST:PORT nor unix:PATH".to_owned())
    }
}

impl Place {
    fn host(&self) -> Option<String> {
        match self {
            Self::Ip(address) => Some(address.ip().to_string()),
            Self::Name(host, _) => Some(host.clone()),
            Self::Unix(_) => None,
        }
    }

    fn address(&self) -> Json {
        let socket = |host: String, port: u16| json!({ "socket_address": { "address": host, "port_value": port } });
        match self {
            Self::Ip(address) => socket(address.ip().to_string(), address.port()),
            Self::Name(host, port) => socket(host.clone(), *port),
            Self::Unix(path) => json!({ "pipe": { "path": path } }),
        }
    }
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair(pub String, pub String);

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
        pair.map(|(key, value)| Self(key.to_owned(), value.to_owned())).ok_or_else(|| "not KEY=VALUE".to_owned())
    }
}

/// Where no name can be told from the address, one is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoServerName;

impl fmt::Display for NoServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("--xds-ca with a Unix socket needs --xds-server-name")
    }
}

impl Mesh {
    /// The bootstrap file that says the same.
    ///
    /// # Errors
    /// See [`NoServerName`].
    pub fn bootstrap(&self, join: &Join, machine: &str) -> Result<Json, NoServerName> {
        let mut clusters = Vec::new();
        for (index, place) in self.xds_address.iter().enumerate() {
            let tls = self.xds_ca.as_ref().map(|trusted| self.tls(trusted, place)).transpose()?;
            clusters.push(cluster(&format!("xds-{index}"), place, tls));
        }
        clusters.extend(join.mesh.iter().enumerate().map(|(index, place)| cluster(&format!("mesh-{index}"), place, Some(join::tls()))));
        let id = self.node_id.as_deref().or(join.workload.as_deref()).unwrap_or(machine);
        let services: Vec<Json> = clusters.iter().map(|cluster| json!({ "envoy_grpc": { "cluster_name": cluster["name"] } })).collect();
        let mut metadata = join.metadata(id);
        if self.inbound_mode == Some(InboundMode::Tproxy) {
            metadata.insert("INTERCEPTION_MODE".to_owned(), "TPROXY".into());
        }
        metadata.extend(self.node_metadata.iter().map(|Pair(key, value)| (key.clone(), value.as_str().into())));
        let ads = json!({ "ads": {}, "resource_api_version": "V3" });
        // What is null is not there.
        Ok(json!({
            "admin": self.admin_address.map(|address| json!({ "address": Place::Ip(address).address() })),
            "node": { "id": id, "cluster": self.node_cluster, "metadata": metadata },
            "static_resources": { "clusters": clusters },
            "dynamic_resources": {
                "ads_config": { "api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": services },
                "cds_config": ads,
                "lds_config": ads,
            },
        }))
    }

    fn tls(&self, trusted: &Path, place: &Place) -> Result<Json, NoServerName> {
        let name = self.xds_server_name.clone().or_else(|| place.host()).ok_or(NoServerName)?;
        let is_address = name.parse::<IpAddr>().is_ok();
        let pair = self.xds_certificate.iter().zip(&self.xds_key);
        let certificates: Vec<Json> =
            pair.map(|(chain, key)| json!({ "certificate_chain": { "filename": chain }, "private_key": { "filename": key } })).collect();
        Ok(json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": if is_address { "" } else { name.as_str() },
                "common_tls_context": {
                    "tls_certificates": certificates,
                    "alpn_protocols": ["h2"],
                    "validation_context": {
                        "trusted_ca": { "filename": trusted },
                        "match_typed_subject_alt_names": [{ "san_type": if is_address { "IP_ADDRESS" } else { "DNS" }, "matcher": { "exact": name } }],
                    },
                },
            },
        }))
    }
}

fn cluster(name: &str, place: &Place, tls: Option<Json>) -> Json {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    json!({
        "name": name,
        "type": if matches!(place, Place::Name(..)) { "STRICT_DNS" } else { "STATIC" },
        "connect_timeout": "5s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": place.address() } }] }] },
        "typed_extension_protocol_options": { options: {
            "@type": format!("type.googleapis.com/{options}"),
            "explicit_http_config": { "http2_protocol_options": {} },
        } },
        "transport_socket": tls,
    })
}
