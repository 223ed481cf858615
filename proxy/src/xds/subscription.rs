//! What is asked of a control plane, and what is answered to it: the xDS transport protocol, without any I/O.
//!
//! Source: "xDS REST and gRPC protocol" of Envoy's documentation (state-of-the-world and incremental, aggregated).

/// The incremental protocol.
pub mod delta;
/// The state-of-the-world protocol.
pub mod sotw;

use std::collections::BTreeSet;

use prost_types::Any;
use xds_proto::google::rpc::Status;

use crate::xds::resource::{self, Kind, Offered, Refusal, Sink};

/// Which resources of a type are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// None, and none were.
    #[default]
    Nothing,
    /// All that the server has for this proxy.
    All,
    /// These.
    Names(BTreeSet<String>),
}

impl Wanted {
    /// Whether nothing is to be asked for. A request without names would ask for everything.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::All => false,
            Self::Names(names) => names.is_empty(),
        }
    }
}

/// Characters of an error that a server is told: enough for a person to find the fault, far below what gRPC lets pass.
const LONGEST_ERROR: usize = 4096;

/// gRPC's `INVALID_ARGUMENT`, which servers expect of a refusal.
const INVALID_ARGUMENT: i32 = 3;

/// Offers resources to `sink`. One that is refused does not hold back the others; one that is there twice is refused as a
/// whole, as nobody can tell which is meant.
pub(in crate::xds) fn offer(kind: Kind, resources: Vec<Result<Offered, Refusal>>, sink: &mut impl Sink) -> (Vec<Offered>, Vec<Refusal>) {
    let twice = named_twice(&resources);
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    for resource in resources {
        let outcome = resource.and_then(|offered| {
            let taken = if twice.contains(&offered.name) {
                Err(crate::xds::invalid::Faults::one("named twice in one answer"))
            } else {
                sink.offer(kind, &offered)
            };
            taken.map_err(|faults| Refusal { name: Some(offered.name.clone()), faults }).map(|()| offered)
        });
        match outcome {
            Ok(offered) => accepted.push(offered),
            Err(refusal) => refused.push(refusal),
        }
    }
    let taken_back = sink.settle(kind);
    accepted.retain(|offered| !taken_back.iter().any(|(name, _)| *name == offered.name));
    refused.extend(taken_back.into_iter().map(|(name, faults)| Refusal { name: Some(name), faults }));
    (accepted, refused)
}

/// Takes all resources of an answer of the state of the world: how many were good, and those that were not. Of a type that is
/// listed whole, those that are not listed are gone.
pub fn take(kind: Kind, resources: Vec<Any>, version: &str, sink: &mut impl Sink) -> (usize, Vec<Refusal>) {
    let read: Vec<_> = resources.iter().map(|packed| resource::read(kind, packed, version)).collect();
    drop(resources);
    // What is refused without a name could be any: nothing is taken for gone then. What is gone makes room for what is new.
    if kind.is_listed_whole() {
        let names: Option<BTreeSet<&str>> = read.iter().map(resource::name).collect();
        if let Some(listed) = names {
            sink.names(kind).iter().filter(|name| !listed.contains(name.as_str())).for_each(|name| sink.remove(kind, name));
        }
    }
    let (accepted, refused) = offer(kind, read, sink);
    (accepted.len(), refused)
}

fn named_twice(resources: &[Result<Offered, Refusal>]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let names = resources.iter().flatten().map(|offered| &offered.name);
    names.filter(|name| !seen.insert(*name)).cloned().collect()
}

/// The error of a refusal; `None` accepts.
fn error_detail(refused: &[Refusal]) -> Option<Status> {
    if refused.is_empty() {
        return None;
    }
    let mut message = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    if message.len() > LONGEST_ERROR {
        let cut = (0..=LONGEST_ERROR).rev().find(|at| message.is_char_boundary(*at)).unwrap_or_default();
        message.truncate(cut);
        message.push_str("\n...");
    }
    Some(Status { code: INVALID_ARGUMENT, message, details: Vec::new() })
}

#[cfg(test)]
mod tests;
