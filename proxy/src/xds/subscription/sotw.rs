use std::collections::BTreeMap;

use xds_proto::envoy::config::core::v3::Node;
use xds_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use crate::xds::resource::{Kind, Refusal, Sink};
use crate::xds::subscription::{self, Wanted, error_detail};

/// The state-of-the-world side of one aggregated stream after the other.
#[derive(Debug)]
pub struct Sotw {
    node: Node,
    /// The first request of a stream carries the node.
    introduced: bool,
    types: BTreeMap<Kind, OfType>,
}

#[derive(Debug, Default)]
struct OfType {
    wanted: Wanted,
    /// Of the last answer that was accepted as a whole; outlives the stream.
    version: String,
    /// The same before the last answer.
    before: String,
    /// Of the last answer on this stream.
    nonce: String,
    /// This stream has been asked.
    asked: bool,
}

/// What an answer came to.
#[derive(Debug)]
pub struct Answered<R> {
    /// To be sent once what the answer referred to has been asked for.
    pub reply: R,
    /// How many resources were taken.
    pub accepted: usize,
    /// Resources that were not taken.
    pub refused: Vec<Refusal>,
}

impl Sotw {
    /// Nothing is wanted yet.
    pub fn new(node: Node) -> Self {
        Self { node, introduced: false, types: BTreeMap::new() }
    }

    /// A stream was opened: nothing has been said on it. Versions are kept, so the server need not send what is known.
    pub fn opened(&mut self) -> Vec<DiscoveryRequest> {
        self.introduced = false;
        for of_type in self.types.values_mut() {
            of_type.nonce.clear();
            of_type.asked = false;
        }
        let wanted: Vec<Kind> = self.types.iter().filter(|(_, of_type)| !of_type.wanted.is_empty()).map(|(kind, _)| *kind).collect();
        wanted.into_iter().map(|kind| self.request(kind, &[])).collect()
    }

    /// Wants other resources of a type; the request that says so, if that is news.
    pub fn want(&mut self, kind: Kind, wanted: Wanted) -> Option<DiscoveryRequest> {
        let of_type = self.types.entry(kind).or_default();
        // A request without names asks for everything: who has done so cannot take it back on this stream.
        let silent = wanted.is_empty() && (!of_type.asked || of_type.wanted == Wanted::All);
        if of_type.wanted == wanted || silent {
            of_type.wanted = wanted;
            return None;
        }
        of_type.wanted = wanted;
        Some(self.request(kind, &[]))
    }

    /// An answer arrived.
    ///
    /// # Errors
    /// A type that was never asked for; there is nothing to accept or refuse then.
    pub fn received(&mut self, response: DiscoveryResponse, sink: &mut impl Sink) -> Result<Answered<DiscoveryRequest>, UnknownType> {
        let kind = Kind::from_type_url(&response.type_url).filter(|kind| self.types.get(kind).is_some_and(|of_type| of_type.asked));
        let Some(kind) = kind else { return Err(UnknownType(response.type_url)) };
        let (accepted, refused) = subscription::take(kind, response.resources, &response.version_info, sink);
        let of_type = self.types.entry(kind).or_default();
        of_type.nonce = response.nonce;
        of_type.before.clone_from(&of_type.version);
        if refused.is_empty() {
            of_type.version = response.version_info;
        }
        Ok(Answered { reply: self.request(kind, &refused), accepted, refused })
    }

    /// The reply to the last answer, after all.
    pub fn refuse(&mut self, kind: Kind, refused: &[Refusal]) -> DiscoveryRequest {
        let of_type = self.types.entry(kind).or_default();
        of_type.version.clone_from(&of_type.before);
        self.request(kind, refused)
    }

    fn request(&mut self, kind: Kind, refused: &[Refusal]) -> DiscoveryRequest {
        let node = (!self.introduced).then(|| self.node.clone());
        self.introduced = true;
        let of_type = self.types.entry(kind).or_default();
        of_type.asked = true;
        DiscoveryRequest {
            version_info: of_type.version.clone(),
            node,
            resource_names: match &of_type.wanted {
                Wanted::Nothing | Wanted::All => Vec::new(),
                Wanted::Names(names) => names.iter().cloned().collect(),
            },
            resource_locators: Vec::new(),
            type_url: kind.type_url().to_owned(),
            response_nonce: of_type.nonce.clone(),
            error_detail: error_detail(refused),
        }
    }
}

/// An answer of a type that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownType(pub String);

impl std::fmt::Display for UnknownType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an answer of type {:?}, which was not asked for", self.0)
    }
}

impl std::error::Error for UnknownType {}
