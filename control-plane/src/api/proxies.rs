//! Proxies that are connected: what they were sent, what they acknowledged, and what they refused.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::api::problem::Problem;

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
    /// In short: `CDS`, `EDS`, `LDS`, `RDS`, `SDS`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Resources that it has.
    #[serde(default)]
    pub resources: u64,
    /// The version last sent.
    #[serde(default)]
    pub sent: String,
    /// The version last acknowledged.
    #[serde(default)]
    pub acknowledged: String,
    /// Its last refusal, if it refused anything since it connected.
    #[serde(default)]
    pub refused: Option<Refusal>,
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
