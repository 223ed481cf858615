use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::certificates::Certificates;

/// What is to be served, said in the terms of those who ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mesh {
    pub(super) clusters: BTreeMap<String, Cluster>,
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) listeners: BTreeMap<String, Listener>,
    /// Secrets, and which certificate each holds.
    pub(super) secrets: BTreeMap<String, usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cluster {
    /// Numbers of upstreams.
    pub(super) endpoints: BTreeSet<usize>,
    pub(super) http2: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Added to each answer.
    pub(super) stamp: String,
    /// Prefixes and clusters.
    pub(super) routes: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) port: u16,
    pub(super) table: String,
    pub(super) secret: String,
    /// The `server` of each answer.
    pub(super) server: String,
}

/// Resources by type.
pub(super) type Resources = BTreeMap<&'static str, Vec<Value>>;

impl Mesh {
    /// The resources. What no listener refers to is left out: with an aggregated stream, the cache of go-control-plane waits with
    /// all routes (or secrets) until all of them are asked for.
    pub(super) fn resources(&self, upstreams: &[u16], certificates: &Certificates) -> Resources {
        let tables: BTreeSet<&String> = self.listeners.values().map(|listener| &listener.table).collect();
        let secrets: BTreeSet<&String> = self.listeners.values().map(|listener| &listener.secret).collect();
        BTreeMap::from([
            ("cluster", self.clusters.iter().map(|(name, cluster)| cluster.resource(name)).collect()),
            ("endpoints", self.clusters.iter().map(|(name, cluster)| cluster.assignment(name, upstreams)).collect()),
            ("listener", self.listeners.iter().map(|(name, listener)| listener.resource(name)).collect()),
            ("routes", tables.into_iter().map(|name| self.tables[name].resource(name)).collect()),
            ("secret", secrets.into_iter().map(|name| secret(name, &certificates.pem(self.secrets[name]))).collect()),
        ])
    }
}

impl Cluster {
    fn resource(&self, name: &str) -> Value {
        let mut cluster = json!({
            "name": name,
            "type": "EDS",
            "connect_timeout": "2s",
            "eds_cluster_config": { "eds_config": ads() },
        });
        if self.http2 {
            let options = json!({
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http2_protocol_options": {} },
            });
            cluster["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options });
        }
        cluster
    }

    fn assignment(&self, name: &str, upstreams: &[u16]) -> Value {
        let endpoint = |number: &usize| json!({ "endpoint": { "address": address(upstreams[*number]) } });
        let endpoints: Vec<Value> = self.endpoints.iter().map(endpoint).collect();
        json!({ "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] })
    }
}

impl Table {
    fn resource(&self, name: &str) -> Value {
        let route = |(prefix, cluster): (&String, &String)| json!({ "match": { "prefix": prefix }, "route": { "cluster": cluster } });
        json!({
            "name": name,
            "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": self.routes.iter().map(route).collect::<Vec<_>>() }],
            "response_headers_to_add": [{ "header": { "key": "x-table", "value": self.stamp } }],
        })
    }
}

impl Listener {
    fn resource(&self, name: &str) -> Value {
        let types = "type.googleapis.com/envoy.extensions";
        let router = json!({ "@type": format!("{types}.filters.http.router.v3.Router") });
        let manager = json!({
            "@type": format!("{types}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": name,
            "server_name": self.server,
            "rds": { "route_config_name": self.table, "config_source": ads() },
            "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": router }],
        });
        let tls = json!({
            "@type": format!("{types}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificate_sds_secret_configs": [{ "name": self.secret, "sds_config": ads() }],
            },
        });
        json!({
            "name": name,
            "address": address(self.port),
            "filter_chains": [{
                "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }],
                "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": tls },
            }],
        })
    }
}

fn secret(name: &str, (certificate, key): &(String, String)) -> Value {
    let pair = json!({ "certificate_chain": { "inline_string": certificate }, "private_key": { "inline_string": key } });
    json!({ "name": name, "tls_certificate": pair })
}

fn ads() -> Value {
    json!({ "ads": {}, "resource_api_version": "V3" })
}

/// An address of this machine.
pub(super) fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

/// Gives each type a version, a new one where it has changed.
#[derive(Default)]
pub(super) struct Versioned {
    last: BTreeMap<&'static str, (u32, Vec<Value>)>,
    newest: u32,
}

impl Versioned {
    /// As the Go program reads it.
    pub(super) fn next(&mut self, resources: Resources) -> Value {
        self.newest += 1;
        let mut snapshot = Map::new();
        for (kind, resources) in resources {
            let before = self.last.remove(kind).filter(|(_, before)| *before == resources);
            let (version, resources) = before.unwrap_or((self.newest, resources));
            snapshot.insert(kind.to_owned(), json!({ "version": version.to_string(), "resources": resources }));
            self.last.insert(kind, (version, resources));
        }
        Value::Object(snapshot)
    }
}
