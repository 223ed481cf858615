//! The HTTP API: objects, revisions and proxies, for operators and their tools.
//!
//! Paths and the shapes of answers follow Kubernetes where it has a word for it. Refusals are problems of RFC 9457. Everything
//! that a client can make large or long has a bound in [`Limits`](crate::api::Limits). What the API does not know by itself it is
//! told by [`Hooks`](crate::api::Hooks).

/// Many objects at once.
pub mod apply;
/// Who may do what.
pub mod auth;
/// What clients send.
mod body;
/// The authority.
pub mod ca;
/// Connections.
mod connection;
/// Objects that come from files.
pub mod files;
/// Load that is reported.
pub mod loads;
/// One object, and lists of them.
mod objects;
/// The API's description of itself.
mod openapi;
/// What clients are told when it did not work.
pub mod problem;
/// Proxies that are connected.
pub mod proxies;
/// What clients ask for, in path and query.
mod query;
/// What was, and back to it.
pub mod revisions;
/// Certificates that are no longer good.
pub mod revocations;
/// Routes.
mod routes;
/// Which objects, by their labels.
mod selector;
/// Tokens by which workloads join.
pub mod tokens;
/// Follows objects.
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch as signal};

use crate::authority::Authority;
use crate::model::fault::Fault;
use crate::model::kind::Kind;
use crate::model::name::Key;
use crate::store::{Scope, Store};
use crate::token;
use auth::Tokens;
use files::Files;
use proxies::Proxy;

pub use connection::serve;

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body: thousands of objects in one apply.
    pub body: usize,
    /// A request, until its answer begins.
    pub request: Duration,
    /// Connections at a time.
    pub connections: usize,
    /// Requests with a body at a time; others wait.
    pub writes: usize,
    /// Watches at a time; others are refused.
    pub watches: usize,
    /// A watch, until it must be asked for anew.
    pub watch: Duration,
    /// A watch is told this often how far it is, when nothing happens.
    pub bookmark: Duration,
    /// Connections are given this long to end when the API stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            request: Duration::from_secs(30),
            connections: 512,
            writes: 8,
            watches: 256,
            watch: Duration::from_secs(3600),
            bookmark: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }
}

/// A question to somebody else.
type Hook<I, O> = Box<dyn Fn(I) -> O + Send + Sync>;
/// What is wrong with an object.
type Validate = Box<dyn Fn(&Value) -> Result<(), Vec<Fault>> + Send + Sync>;
/// The status of an object.
type Status = Box<dyn Fn(&Key) -> Option<Value> + Send + Sync>;

/// What the API is told by others.
pub struct Hooks {
    /// What is wrong with an object.
    pub validate: Validate,
    /// The `status` of an object, when there is one.
    pub status: Status,
    /// The objects that come from files.
    pub files: Arc<Files>,
    /// The workloads that sidecars have registered; an object of the same name counts over one.
    pub registered: Hook<Scope, BTreeMap<Key, Value>>,
    /// The proxies that are connected.
    pub proxies: Hook<(), Vec<Proxy>>,
    /// What a proxy was sent, by its id.
    pub config: Hook<String, Option<Vec<proxies::Resource>>>,
    /// The load that is reported.
    pub loads: Hook<(), Vec<loads::Load>>,
    /// What proxies would be told if these objects were as written, or not there.
    pub preview: Hook<Vec<(Key, Option<Value>)>, Vec<apply::ProxyChange>>,
    /// Why this is not ready to serve.
    pub ready: Hook<(), Result<(), String>>,
    /// Metrics in Prometheus' text form.
    pub metrics: Hook<(), String>,
    /// The JSON schema of a kind.
    pub schema: Hook<Kind, Value>,
    /// Gives workloads their certificates.
    pub authority: Option<Arc<Authority>>,
}

impl Default for Hooks {
    /// Nothing is known, everything is allowed.
    fn default() -> Self {
        Self {
            validate: Box::new(|_| Ok(())),
            status: Box::new(|_| None),
            files: Arc::default(),
            registered: Box::new(|_| BTreeMap::new()),
            proxies: Box::new(|()| Vec::new()),
            config: Box::new(|_| None),
            loads: Box::new(|()| Vec::new()),
            preview: Box::new(|_| Vec::new()),
            ready: Box::new(|()| Ok(())),
            metrics: Box::new(|()| String::new()),
            schema: Box::new(|_| json!({"type": "object"})),
            authority: None,
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// The API.
#[derive(Debug)]
pub struct Api {
    store: Store,
    tokens: Tokens,
    joining: token::Tokens,
    hooks: Hooks,
    limits: Limits,
    writes: Semaphore,
    watches: Arc<Semaphore>,
    /// Whether it stops, for those who watch.
    stopping: signal::Sender<bool>,
}

impl Api {
    /// The API before a store.
    pub fn new(store: Store, tokens: Tokens, joining: token::Tokens, hooks: Hooks, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            joining,
            store,
            tokens,
            hooks,
            limits,
            writes: Semaphore::new(limits.writes),
            watches: Arc::new(Semaphore::new(limits.watches)),
            stopping: signal::Sender::new(false),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
