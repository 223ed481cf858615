//! Resources for a proxy: immutable, encoded once, and shared by all streams that are sent them.
//!
//! A snapshot is made of layers, so that what many proxies see alike is held once: a service's clusters and endpoints are the same
//! for all who may call it, and only its inbound side is a proxy's own.

/// The types of resources.
pub mod kind;
/// One resource.
pub mod resource;
/// Resources of one type.
pub mod set;

use std::sync::Arc;

use kind::Kind;
use resource::Resource;
use set::Set;

/// What a proxy is to see at one time.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Layers, the most shared first. No name is in two of them.
    pub layers: Vec<Arc<Layer>>,
}

/// A part of snapshots, of every type.
#[derive(Clone, Debug, Default)]
pub struct Layer([Arc<Set>; Kind::ALL.len()]);

impl Layer {
    /// All resources of each type.
    pub fn new(mut of: impl FnMut(Kind) -> Arc<Set>) -> Self {
        Self(Kind::ALL.map(&mut of))
    }

    /// Those of one type.
    pub fn of(&self, kind: Kind) -> &Arc<Set> {
        let [clusters, endpoints, listeners, routes, secrets] = &self.0;
        match kind {
            Kind::Cluster => clusters,
            Kind::Endpoint => endpoints,
            Kind::Listener => listeners,
            Kind::Route => routes,
            Kind::Secret => secrets,
        }
    }
}

impl Snapshot {
    /// Resources of one type, layer by layer.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Arc<Set>> {
        self.layers.iter().map(move |layer| layer.of(kind))
    }

    /// One resource.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.of(kind).find_map(|set| set.get(name))
    }
}
