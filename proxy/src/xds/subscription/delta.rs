use std::collections::{BTreeMap, BTreeSet};

use xds_proto::envoy::config::core::v3::Node;
use xds_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use crate::xds::resource::{self, Kind, Refusal, Sink};
use crate::xds::subscription::sotw::{Answered, UnknownType};
use crate::xds::subscription::{Wanted, error_detail, offer};

/// On a stream that has been asked for a type before, this stands for all of its resources.
const EVERYTHING: &str = "*";

/// The incremental side of one aggregated stream after the other.
#[derive(Debug)]
pub struct Delta {
    node: Node,
    introduced: bool,
    types: BTreeMap<Kind, OfType>,
}

#[derive(Debug, Default)]
struct OfType {
    wanted: Wanted,
    /// This stream has been asked.
    asked: bool,
    /// What was accepted, by name: a new stream tells the server, which then sends only what differs.
    versions: BTreeMap<String, String>,
}

impl Delta {
    /// Nothing is wanted yet.
    pub fn new(node: Node) -> Self {
        Self { node, introduced: false, types: BTreeMap::new() }
    }

    /// Something is known from elsewhere, such as the cache of an earlier run.
    pub fn know(&mut self, kind: Kind, name: &str, version: &str) {
        self.types.entry(kind).or_default().versions.insert(name.to_owned(), version.to_owned());
    }

    /// Something that was accepted is not held any more: the next stream shall bring it again.
    pub fn forget(&mut self, kind: Kind, name: &str) {
        self.types.entry(kind).or_default().versions.remove(name);
    }

    /// A stream was opened: what is wanted is asked for again, with the versions that are known.
    pub fn opened(&mut self) -> Vec<DeltaDiscoveryRequest> {
        self.introduced = false;
        for of_type in self.types.values_mut() {
            of_type.asked = false;
        }
        let wanted: Vec<(Kind, Wanted)> = self.types.iter().map(|(kind, of_type)| (*kind, of_type.wanted.clone())).collect();
        wanted.into_iter().filter(|(_, wanted)| !wanted.is_empty()).map(|(kind, wanted)| self.first(kind, &wanted)).collect()
    }

    /// Wants other resources of a type; the request that says so, if that is news.
    pub fn want(&mut self, kind: Kind, wanted: Wanted) -> Option<DeltaDiscoveryRequest> {
        let of_type = self.types.entry(kind).or_default();
        let before = std::mem::replace(&mut of_type.wanted, wanted.clone());
        let (old, new) = (names(&before), names(&wanted));
        if before == wanted || (!of_type.asked && wanted.is_empty()) {
            return None;
        }
        of_type.versions.retain(|name, _| wanted == Wanted::All || new.contains(name));
        if !of_type.asked {
            return Some(self.first(kind, &wanted));
        }
        let everything = |wanted| (wanted == &Wanted::All).then(|| EVERYTHING.to_owned());
        let subscribe = new.difference(&old).cloned().chain(everything(&wanted)).collect();
        let unsubscribe = old.difference(&new).cloned().chain(everything(&before)).collect();
        Some(DeltaDiscoveryRequest { resource_names_subscribe: subscribe, resource_names_unsubscribe: unsubscribe, ..self.request(kind) })
    }

    /// An answer arrived.
    ///
    /// # Errors
    /// A type that was never asked for.
    pub fn received(
        &mut self,
        response: DeltaDiscoveryResponse,
        sink: &mut impl Sink,
    ) -> Result<Answered<DeltaDiscoveryRequest>, UnknownType> {
        let kind = Kind::from_type_url(&response.type_url).filter(|kind| self.types.get(kind).is_some_and(|of_type| of_type.asked));
        let Some(kind) = kind else { return Err(UnknownType(response.type_url)) };
        let resources = response.resources.iter().map(|wrapped| resource::read_wrapped(kind, wrapped)).collect();
        drop(response.resources);
        let of_type = self.types.entry(kind).or_default();
        // What is gone makes room for what is new.
        let removed_names = response.removed_resource_names.into_iter().map(|removed| removed.name);
        for name in response.removed_resources.into_iter().chain(removed_names) {
            of_type.versions.remove(&name);
            sink.remove(kind, &name);
        }
        let (accepted, refused) = offer(kind, resources, sink);
        let taken = accepted.len();
        for offered in accepted {
            of_type.versions.insert(offered.name, offered.version);
        }
        let error_detail = error_detail(&refused);
        let reply = DeltaDiscoveryRequest { response_nonce: response.nonce, error_detail, ..self.request(kind) };
        Ok(Answered { reply, accepted: taken, refused })
    }

    /// The reply to an answer, after all.
    pub fn refuse(reply: DeltaDiscoveryRequest, refused: &[Refusal]) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest { error_detail: error_detail(refused), ..reply }
    }

    /// The first request of a type on a stream.
    fn first(&mut self, kind: Kind, wanted: &Wanted) -> DeltaDiscoveryRequest {
        let of_type = self.types.entry(kind).or_default();
        of_type.asked = true;
        let initial = of_type.versions.iter().map(|(name, version)| (name.clone(), version.clone())).collect();
        DeltaDiscoveryRequest {
            resource_names_subscribe: names(wanted).into_iter().collect(),
            initial_resource_versions: initial,
            ..self.request(kind)
        }
    }

    fn request(&mut self, kind: Kind) -> DeltaDiscoveryRequest {
        let node = (!self.introduced).then(|| self.node.clone());
        self.introduced = true;
        DeltaDiscoveryRequest { node, type_url: kind.type_url().to_owned(), ..DeltaDiscoveryRequest::default() }
    }
}

/// A first request without names asks for everything: that is how servers of every age understand it.
fn names(wanted: &Wanted) -> BTreeSet<String> {
    match wanted {
        Wanted::Nothing | Wanted::All => BTreeSet::new(),
        Wanted::Names(names) => names.clone(),
    }
}
