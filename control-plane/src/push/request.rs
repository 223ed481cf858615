//! What a client says, without the wire's types.

use std::collections::BTreeMap;

use xds_proto::envoy::service::discovery::v3 as wire;
use xds_proto::google::rpc;

use crate::snapshot::kind::Kind;
use crate::snapshot::resource::Version;

/// One request about one type.
#[derive(Clone, Debug)]
pub struct Request {
    /// The type.
    pub kind: Kind,
    /// The answer that it is about. None is no stale one: some clients ask again before they have an answer.
    pub nonce: Option<u64>,
    /// Why that answer was refused.
    pub refusal: Option<String>,
    /// What is asked for.
    pub wants: Wants,
}

/// Names, by dialect.
#[derive(Clone, Debug)]
pub enum Wants {
    /// State of the world: all names that are wanted from now on.
    Names(Vec<String>),
    /// Incremental: what is different from before.
    Changes {
        /// Wanted from now on, or to be told again.
        subscribe: Vec<String>,
        /// No longer wanted.
        unsubscribe: Vec<String>,
        /// What the client has from an earlier stream.
        held: BTreeMap<String, Version>,
    },
}

impl Wants {
    /// Of a state-of-the-world request.
    pub fn of_sotw(request: wire::DiscoveryRequest, kind: Kind) -> Request {
        let (nonce, refusal) = (nonce(&request.response_nonce), refusal(request.error_detail));
        Request { kind, nonce, refusal, wants: Self::Names(request.resource_names) }
    }

    /// Of an incremental request.
    pub fn of_delta(request: wire::DeltaDiscoveryRequest, kind: Kind) -> Request {
        let (nonce, refusal) = (nonce(&request.response_nonce), refusal(request.error_detail));
        // A version that another server gave matches nothing.
        let version = |text: String| Version::parse(&text).unwrap_or(Version::NONE);
        let held = request.initial_resource_versions.into_iter().map(|(name, text)| (name, version(text))).collect();
        let (subscribe, unsubscribe) = (request.resource_names_subscribe, request.resource_names_unsubscribe);
        Request { kind, nonce, refusal, wants: Self::Changes { subscribe, unsubscribe, held } }
    }
}

fn nonce(text: &str) -> Option<u64> {
    // What no answer had is as good as stale.
    (!text.is_empty()).then(|| text.parse().unwrap_or(u64::MAX))
}

fn refusal(detail: Option<rpc::Status>) -> Option<String> {
    /// Enough for an operator, and bounded.
    const MOST: usize = 4096;
    detail.map(|status| status.message.chars().take(MOST).collect())
}
