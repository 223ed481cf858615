//! What a client was sent, in words for operators.

use prost::{Message, Name};
use prost_types::Any;
use serde_json::Value;
use xds_proto::envoy::config::cluster::v3::Cluster;
use xds_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use xds_proto::envoy::config::listener::v3::Listener;
use xds_proto::envoy::config::route::v3::RouteConfiguration;
use xds_proto::istio::networking::nds::v1::NameTable;
use xds_proto::json::{Secrets, to_json};
use xds_proto::{DescriptorPool, any};

use crate::proxies::status::{Held, HeldStatus};
use crate::snapshot::kind::Kind;

/// A resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its type.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The version that was sent; empty if none was.
    pub version: String,
    /// What became of it.
    pub status: HeldStatus,
    /// What it says. Keys are for the client alone.
    pub content: Option<Value>,
}

/// By type and name.
pub fn shown(held: Vec<Held>) -> Vec<Shown> {
    // Some megabytes, for as long as this takes.
    let pool = xds_proto::descriptor_pool().ok();
    let one = |Held { kind, name, version, status, resource }: Held| {
        let packed = resource.and_then(|resource| Any::decode(resource.any.as_ref()).ok());
        let content = pool.as_ref().zip(packed).and_then(|(pool, packed)| content(kind, &packed, pool));
        let version = version.map(|version| version.to_string()).unwrap_or_default();
        Shown { kind, name: name.to_string(), version, status, content }
    };
    let mut shown: Vec<Shown> = held.into_iter().map(one).collect();
    shown.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    shown
}

fn content(kind: Kind, packed: &Any, pool: &DescriptorPool) -> Option<Value> {
    match kind {
        Kind::Cluster => of::<Cluster>(packed, pool),
        Kind::Endpoint => of::<ClusterLoadAssignment>(packed, pool),
        Kind::Listener => of::<Listener>(packed, pool),
        Kind::Route => of::<RouteConfiguration>(packed, pool),
        Kind::Secret => None,
        Kind::Names => of::<NameTable>(packed, pool),
    }
}

fn of<M: Message + Name + Default>(packed: &Any, pool: &DescriptorPool) -> Option<Value> {
    to_json(pool, &any::unpack::<M>(packed).ok()?, Secrets::Redacted).ok()
}
