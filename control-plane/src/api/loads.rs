//! The load that proxies and gRPC clients report of the clusters that they use.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::api::Api;
use crate::proxies;
use crate::proxies::load::Sum;

/// What reporters have told of a cluster in their last intervals, together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// The cluster; of a service's port `cart.shop:80`.
    pub cluster: String,
    /// All of its endpoints.
    #[serde(flatten)]
    pub total: Requests,
    /// Requests that were not sent, for a limit.
    #[serde(default)]
    pub dropped: u64,
    /// Seconds since the last report.
    #[serde(default)]
    pub age_seconds: f64,
    /// By where the endpoints are.
    #[serde(default)]
    pub localities: Vec<Locality>,
}

/// Requests of the last intervals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requests {
    /// Those that were sent.
    pub issued: u64,
    /// Those that were answered well.
    pub successful: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were under way.
    pub in_progress: u64,
    /// Requests sent in a second.
    pub requests_per_second: f64,
    /// Failures in a second.
    pub failures_per_second: f64,
    /// How many report them.
    pub reporters: usize,
}

/// The load of endpoints in one place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Locality {
    /// The widest.
    pub region: String,
    /// Within the region.
    pub zone: String,
    /// Within the zone.
    pub sub_zone: String,
    /// Of the endpoints there.
    #[serde(flatten)]
    pub requests: Requests,
}

/// The clusters that are in use.
#[derive(Debug, Serialize, Deserialize)]
pub struct Loads {
    /// In the order of their names.
    pub items: Vec<Load>,
}

/// What is reported now.
pub fn reported(proxies: &proxies::Proxies) -> Vec<Load> {
    let now = Instant::now();
    let loads = proxies.loads.list(now).into_iter().map(|load| Load {
        total: Requests::from(&load.total),
        dropped: load.dropped,
        age_seconds: now.saturating_duration_since(load.at).as_secs_f64(),
        localities: load
            .localities
            .iter()
            .map(|(of, sum)| Locality {
                region: of.region.clone(),
                zone: of.zone.clone(),
                sub_zone: of.sub_zone.clone(),
                requests: Requests::from(sum),
            })
            .collect(),
        cluster: load.cluster,
    });
    loads.collect()
}

impl From<&Sum> for Requests {
    fn from(sum: &Sum) -> Self {
        Self {
            issued: sum.requests.issued,
            successful: sum.requests.successful,
            failed: sum.requests.failed,
            in_progress: sum.requests.in_progress,
            requests_per_second: sum.rate,
            failures_per_second: sum.failures,
            reporters: sum.reporters,
        }
    }
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Loads> {
    Json(Loads { items: (api.hooks.loads)(()) })
}
