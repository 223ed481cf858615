use std::sync::Arc;

use tokio::time::Instant;

use crate::snapshot::kind::Kind;
use crate::snapshot::resource::{Resource, Version};

/// The two variants of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}

impl Dialect {
    /// As it is called in tables and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sotw => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// What a client was sent of one type, and what it said to it.
#[derive(Clone, Debug)]
pub struct TypeStatus {
    /// The type.
    pub kind: Kind,
    /// How many resources it asks for.
    pub subscribed: usize,
    /// Whether it asks for all.
    pub wildcard: bool,
    /// The last version that was sent, and when.
    pub sent: Option<(Version, Instant)>,
    /// The last version that was taken, and when.
    pub acknowledged: Option<(Version, Instant)>,
    /// Whether it has not replied to the last answer.
    pub waiting: bool,
    /// The last refusal, as long as what was refused has not been sent anew and taken, or taken away.
    pub refusal: Option<Refusal>,
}

impl TypeStatus {
    /// Nothing was sent.
    pub fn new(kind: Kind) -> Self {
        Self { kind, subscribed: 0, wildcard: false, sent: None, acknowledged: None, waiting: false, refusal: None }
    }
}

/// An answer that a client did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of the answer.
    pub nonce: u64,
    /// Of the answer.
    pub version: Version,
    /// When it was refused.
    pub at: Instant,
    /// In the client's words.
    pub message: String,
}

/// One resource, as far as a client has it.
#[derive(Clone, Debug)]
pub struct Held {
    /// Of which type.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// The version that was sent.
    pub version: Option<Version>,
    /// What became of it.
    pub status: HeldStatus,
    /// The content, unless it is an old one.
    pub resource: Option<Arc<Resource>>,
}

/// What became of a resource. Clients reply to answers and not to resources, so it is that of the whole type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldStatus {
    /// It is asked for, and does not exist or has to wait.
    NotSent,
    /// It was sent, and the client has not replied.
    Sent,
    /// The client took it.
    Acknowledged,
    /// The client refused the last answer.
    Refused,
}
