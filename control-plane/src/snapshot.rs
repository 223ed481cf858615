//! Resources for a proxy: immutable, encoded once, and shared by all streams that are sent them.
//!
//! A snapshot is made of layers, so that what many proxies see alike is held once: a service's clusters and endpoints are the same
//! for all who may call it, and only its inbound side is a proxy's own. A name is looked for in one layer after the other, so they
//! are few. A layer that stays is the same `Arc` in the next snapshot, and one that changes keeps its place: what differs is found
//! by comparing layer with layer, once for all streams.

/// What makes one set of another.
pub mod diff;
/// The types of resources.
pub mod kind;
/// One resource.
pub mod resource;
/// Resources of one type.
pub mod set;

use std::sync::Arc;

use kind::Kind;
use resource::{Resource, Version};
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
        let [clusters, endpoints, listeners, routes, secrets, names] = &self.0;
        match kind {
            Kind::Cluster => clusters,
            Kind::Endpoint => endpoints,
            Kind::Listener => listeners,
            Kind::Route => routes,
            Kind::Secret => secrets,
            Kind::Names => names,
        }
    }
}

impl Snapshot {
    /// Resources of one type, layer by layer.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Arc<Set>> {
        self.layers.iter().map(move |layer| layer.of(kind))
    }

    /// A name for the content of all resources of one type.
    pub fn version(&self, kind: Kind) -> Version {
        Version::of_all(self.of(kind).map(|set| ("", set.version())))
    }

    /// Whether another has the very same sets of one type.
    pub fn shares(&self, kind: Kind, other: &Self) -> bool {
        self.layers.len() == other.layers.len() && self.of(kind).zip(other.of(kind)).all(|(mine, theirs)| Arc::ptr_eq(mine, theirs))
    }

    /// One resource.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.of(kind).find_map(|set| set.get(name))
    }
}
