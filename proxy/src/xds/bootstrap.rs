//! An Envoy bootstrap file to `Bootstrap`.
//!
//! All faults are told together: those of the file's shape (a value of the wrong type) first, and when there are none, those
//! of its meaning.

/// The control plane.
mod dynamic;
/// Fields that are accepted without effect, or refused.
mod policy;
/// Runtime keys.
mod runtime;

pub use runtime::Runtime;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::Value as Json;
use xds_proto::envoy::config::bootstrap::v3 as wire;
use xds_proto::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use xds_proto::envoy::config::cluster::v3::Cluster as WireCluster;
use xds_proto::envoy::config::core::v3 as core;
use xds_proto::envoy::config::listener::v3::Listener as WireListener;
use xds_proto::json;
use xds_proto::unknown::UnknownKind;

use crate::config::ClusterName;
use crate::config::address::Address;
use crate::config::bootstrap::{Bootstrap, Node};
use crate::config::cluster::Cluster;
use crate::config::endpoint::Locality;
use crate::config::identity::Enrolment;
use crate::config::listener::Listener;
use crate::config::snapshot::Snapshot;
use crate::xds::invalid::{Faults, Invalid, Parser, StaticSecret};
use crate::xds::{address, cluster, listener, outside, tls};

/// Parses a bootstrap file that was read as JSON. What is accepted without effect is told beside; under `strict`, a field
/// outside of what Ninon has is a fault wherever it stands. The file may name the secrets of the proxy's own identity, if it has one.
pub fn parse(file: &Json, strict: bool, enrolment: Option<Enrolment>) -> Result<(Bootstrap, Vec<Invalid>), Faults> {
    let pool = xds_proto::descriptor_pool().map_err(Faults::one)?;
    let mut parser = Parser::new();
    let (bootstrap, unknown) = match json::from_json::<wire::Bootstrap>(&pool, file) {
        Ok(read) => read,
        Err(unreadable) => {
            for fault in unreadable.faults {
                parser.refuse_below(&fault.path, fault.problem);
            }
            // Which types are refused is for parsers to say, and they have not looked.
            let fields: Vec<_> =
                unreadable.unknown.into_iter().filter(|found| !matches!(found.kind, UnknownKind::AnyType { .. })).collect();
            outside::apply(&fields, strict, &mut parser);
            return parser.finish(None);
        }
    };
    let source = bootstrap.encode_to_vec();
    let parsed = parse_message(bootstrap, source, enrolment, &mut parser);
    outside::apply(&unknown, strict, &mut parser);
    parser.finish(parsed)
}

fn parse_message(mut bootstrap: wire::Bootstrap, source: Vec<u8>, enrolment: Option<Enrolment>, parser: &mut Parser) -> Option<Bootstrap> {
    for (name, secret) in enrolment.iter().flat_map(StaticSecret::of_enrolment) {
        parser.know_secret(name, secret);
    }
    policy::refuse_unsupported(&bootstrap, parser);
    policy::tell_ignored(&bootstrap, parser);
    let runtime = parser.at("layered_runtime", |parser| Runtime::parse(bootstrap.layered_runtime.as_ref(), parser));
    let overload = bootstrap.overload_manager.as_ref();
    let overload_limit =
        overload.and_then(|manager| parser.at("overload_manager", |parser| runtime::downstream_connections(manager, parser)));
    if bootstrap.dynamic_resources.as_ref().is_some_and(|dynamic| dynamic.ads_config.is_some()) {
        parser.know_server();
    }
    let admin = admin(bootstrap.admin.as_ref(), parser);
    let node = node(bootstrap.node.as_ref(), parser);
    let mut resources = bootstrap.static_resources.take().unwrap_or_default();
    inherit_dns(&bootstrap, &mut resources.clusters);
    let snapshot = parser.at("static_resources", |parser| snapshot(&resources, &runtime, parser));
    let dynamic = dynamic::parse(bootstrap.dynamic_resources.as_ref(), parser);
    let dynamic = dynamic?;
    let max_connections = overload_limit.or(runtime.global_limit());
    Some(Bootstrap { node, dynamic, admin: admin?, max_connections, snapshot, enrolment, source })
}

/// As Envoy: the file's resolver is that of every cluster which names none.
fn inherit_dns(bootstrap: &wire::Bootstrap, clusters: &mut [WireCluster]) {
    for cluster in clusters {
        if cluster.typed_dns_resolver_config.is_none() && cluster.dns_resolution_config.is_none() {
            cluster.typed_dns_resolver_config.clone_from(&bootstrap.typed_dns_resolver_config);
            cluster.dns_resolution_config.clone_from(&bootstrap.dns_resolution_config);
        }
        cluster.use_tcp_for_dns_lookups |= bootstrap.use_tcp_for_dns_lookups;
    }
}

fn admin(admin: Option<&wire::Admin>, parser: &mut Parser) -> Option<Option<Address>> {
    let Some(admin) = admin else { return Some(None) };
    parser.at("admin", |parser| {
        parser.unsupported("allow_paths", !admin.allow_paths.is_empty());
        parser.unsupported("socket_options", !admin.socket_options.is_empty());
        let logs = !admin.access_log.is_empty();
        parser.ignored("access_log", logs, "requests to the admin page are not logged");
        let logs = !matches!(admin.access_log_path.as_str(), "" | "/dev/null");
        parser.ignored("access_log_path", logs, "requests to the admin page are not logged");
        parser.ignored("ignore_global_conn_limit", admin.ignore_global_conn_limit, "the admin page is never limited");
        let Some(address) = &admin.address else { return Some(None) };
        parser.at("address", |parser| address::listen(address, parser)).map(|listen| Some(listen.address))
    })
}

fn node(node: Option<&core::Node>, parser: &mut Parser) -> Node {
    let Some(node) = node else { return Node { metadata: Json::Object(serde_json::Map::new()), ..Node::default() } };
    parser.at("node", |parser| {
        parser.ignored("dynamic_parameters", !node.dynamic_parameters.is_empty(), "resources are asked for by name");
        parser.ignored("listening_addresses", !node.listening_addresses.is_empty(), "the listeners say where they are");
    });
    let locality = node.locality.clone().unwrap_or_default();
    Node {
        id: node.id.clone(),
        cluster: node.cluster.clone(),
        locality: Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone },
        metadata: object(node.metadata.as_ref().unwrap_or(&Struct::default())),
    }
}

fn object(fields: &Struct) -> Json {
    Json::Object(fields.fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
}

fn plain(value: &Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => Json::Bool(*value),
        Some(Kind::NumberValue(value)) => Json::from(*value),
        Some(Kind::StringValue(value)) => Json::String(value.clone()),
        Some(Kind::StructValue(value)) => object(value),
        Some(Kind::ListValue(value)) => Json::Array(value.values.iter().map(plain).collect()),
    }
}

fn snapshot(resources: &StaticResources, runtime: &Runtime, parser: &mut Parser) -> Snapshot {
    parser.know_clusters(resources.clusters.iter().map(|cluster| cluster.name.clone()));
    parser.each::<_, ()>("secrets", &resources.secrets, |wire, parser| {
        let (name, secret) = tls::static_secret(wire, parser)?;
        if !parser.know_secret(name, secret) {
            parser.refuse_at::<()>("name", format_args!("there is a secret {:?} already", wire.name));
        }
        None
    });
    let clusters = clusters(&resources.clusters, parser);
    let listeners = listeners(&resources.listeners, runtime, parser);
    Snapshot { listeners, clusters, ..Snapshot::default() }
}

fn clusters(wire: &[WireCluster], parser: &mut Parser) -> HashMap<ClusterName, Arc<Cluster>> {
    let mut names = HashSet::new();
    let parsed = parser.each("clusters", wire, |wire, parser| {
        if !wire.name.is_empty() && !names.insert(wire.name.clone()) {
            parser.refuse_at::<()>("name", format_args!("there is a cluster {:?} already", wire.name));
        }
        cluster::parse(wire, parser)
    });
    parsed.into_iter().map(|cluster| (cluster.name.clone(), Arc::new(cluster))).collect()
}

fn listeners(wire: &[WireListener], runtime: &Runtime, parser: &mut Parser) -> Vec<Arc<Listener>> {
    let mut parsed: Vec<Arc<Listener>> = Vec::new();
    parser.each::<_, ()>("listeners", wire, |wire, parser| {
        let listener = listener::parse(wire, runtime, parser)?;
        if parsed.iter().any(|other| other.name == listener.name) {
            parser.refuse_at::<()>("name", format_args!("there is a listener {:?} already", listener.name.as_str()));
        }
        let taken = parsed.iter().find_map(|other| Some((other, listener.shared_address(other)?)));
        if let Some((other, address)) = taken {
            let problem = format_args!("{address} is taken by listener {:?}", other.name.as_str());
            parser.refuse_at::<()>("address", problem);
        }
        parsed.push(Arc::new(listener));
        None
    });
    parsed
}

#[cfg(test)]
mod tests;
