//! Proxies that are connected: what they were sent, what they acknowledged, and what they refused.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::api::Api;
use crate::api::problem::Problem;
use crate::proxies;
use crate::proxies::status::TypeStatus;
use crate::snapshot::resource::Version;

/// A proxy that is connected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Its node's id.
    pub id: String,
    /// Its namespace; empty when it names none.
    #[serde(default)]
    pub namespace: String,
    /// Its workload; empty when it names none.
    #[serde(default)]
    pub workload: String,
    /// Who it is by its certificate; none on the plaintext port.
    #[serde(default)]
    pub identity: Option<String>,
    /// The program and its version, as it says.
    #[serde(default)]
    pub client: String,
    /// Its address.
    #[serde(default)]
    pub address: String,
    /// The protocol: `delta` or `sotw`.
    #[serde(default)]
    pub protocol: String,
    /// Seconds since it connected.
    #[serde(default)]
    pub connected_seconds: f64,
    /// Whether it has acknowledged the newest of everything that it asked for.
    #[serde(default)]
    pub synced: bool,
    /// Seconds that it is behind: since the oldest push that it has not acknowledged. 0 when it is synced.
    #[serde(default)]
    pub stale_seconds: f64,
    /// Each type of resources that it asked for.
    #[serde(default)]
    pub types: Vec<ProxyType>,
}

/// One type of resources of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyType {
    /// `clusters`, `endpoints`, `listeners`, `routes`, `secrets` or `names`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it asks for all that there are for it.
    #[serde(default)]
    pub wildcard: bool,
    /// Resources that it names.
    #[serde(default)]
    pub subscribed: usize,
    /// The version last sent.
    #[serde(default)]
    pub sent: String,
    /// The version last acknowledged.
    #[serde(default)]
    pub acknowledged: String,
    /// What it refused, as long as it has not taken anything newer.
    #[serde(default)]
    pub refused: Option<Refusal>,
}

/// Those that are connected, and the state of each.
pub fn connected(proxies: &proxies::Proxies) -> Vec<Proxy> {
    let now = Instant::now();
    proxies.list().iter().filter(|proxy| proxy.gone.is_none()).map(|proxy| of(proxy, now)).collect()
}

fn of(proxy: &proxies::Proxy, now: Instant) -> Proxy {
    let node = &proxy.node;
    let behind = proxy.types.iter().filter(|status| status.waiting || status.refusal.is_some());
    let since = behind.filter_map(|status| status.sent.as_ref()).map(|(_, at)| *at).min();
    Proxy {
        id: node.id.clone(),
        namespace: proxy.about.namespace.clone(),
        workload: proxy.about.workload.clone(),
        identity: node.identity.as_ref().map(|verified| verified.identity.to_string()),
        client: format!("{} {}", node.user_agent_name, node.user_agent_version).trim().to_owned(),
        address: node.address.map(|address| address.to_string()).unwrap_or_default(),
        protocol: proxy.dialect.name().to_owned(),
        connected_seconds: proxy.since.elapsed().unwrap_or_default().as_secs_f64(),
        synced: since.is_none(),
        stale_seconds: since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64()),
        types: proxy.types.iter().map(|status| type_of(status, now)).collect(),
    }
}

fn type_of(status: &TypeStatus, now: Instant) -> ProxyType {
    let refused = status.refusal.as_ref().map(|refusal| Refusal {
        version: refusal.version.to_string(),
        reason: refusal.message.clone(),
        seconds: now.saturating_duration_since(refusal.at).as_secs_f64(),
    });
    let version = |of: &Option<(Version, Instant)>| of.as_ref().map(|(version, _)| version.to_string()).unwrap_or_default();
    ProxyType {
        kind: status.kind.to_string(),
        wildcard: status.wildcard,
        subscribed: status.subscribed,
        sent: version(&status.sent),
        acknowledged: version(&status.acknowledged),
        refused,
    }
}

/// What a proxy said when it refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The version that it refused.
    #[serde(default)]
    pub version: String,
    /// Its words.
    pub reason: String,
    /// Seconds ago.
    #[serde(default)]
    pub seconds: f64,
}

/// Proxies that are connected.
#[derive(Debug, Serialize, Deserialize)]
pub struct Proxies {
    /// In the order of their ids.
    pub items: Vec<Proxy>,
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Proxies> {
    let mut items = (api.hooks.proxies)(());
    items.sort_by(|one, other| one.id.cmp(&other.id));
    Json(Proxies { items })
}

pub(super) async fn get(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Json<Proxy>, Problem> {
    let found = (api.hooks.proxies)(()).into_iter().find(|proxy| proxy.id == id);
    found.map(Json).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("no proxy {id:?} is connected")))
}

/// A resource of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// `clusters`, `endpoints`, `listeners`, `routes`, `secrets` or `names`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The version that was sent; empty if none was.
    #[serde(default)]
    pub version: String,
    /// `notSent`, `sent`, `acknowledged` or `refused`.
    #[serde(default)]
    pub status: String,
    /// What it says, as JSON of Envoy's API; none of secrets, and of what is no longer known here.
    #[serde(default)]
    pub content: Option<serde_json::Value>,
}

/// What a proxy was sent.
#[derive(Debug, Serialize, Deserialize)]
pub struct Config {
    /// By type and name.
    pub resources: Vec<Resource>,
}

pub(super) async fn config(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Json<Config>, Problem> {
    let found = (api.hooks.config)(id.clone());
    let not_found = || Problem::new(StatusCode::NOT_FOUND, format!("no proxy {id:?} is connected"));
    found.map(|resources| Json(Config { resources })).ok_or_else(not_found)
}
