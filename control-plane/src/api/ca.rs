//! The authority: who signs, who is trusted, and from one root to the next.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::api::problem::Problem;
use crate::authority::rotation::NotNow;
use crate::authority::{Authority, Root};

/// The authority as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ca {
    /// Whose identities these are.
    pub trust_domain: String,
    /// Whether its root is made here, and not given.
    pub made_here: bool,
    /// The roots that are trusted, the oldest first.
    pub roots: Vec<ShownRoot>,
    /// How far a rotation is.
    pub rotation: ShownRotation,
    /// Why what is newest is not in use.
    #[serde(default)]
    pub fault: Option<String>,
}

/// A root as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownRoot {
    /// What it is told apart by: its SHA-256.
    pub fingerprint: String,
    /// What its key is told apart by, as tokens say it.
    pub pin: String,
    /// It holds from then.
    pub not_before: String,
    /// It holds until then.
    pub not_after: String,
    /// Whether certificates are signed below it now.
    pub signs: bool,
    /// As PEM.
    pub certificate: String,
}

/// A rotation as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownRotation {
    /// `steady`, `distributing` or `issuing`.
    pub step: String,
    /// Since when.
    pub since: String,
    /// When the next step is due, if that is a matter of time.
    #[serde(default)]
    pub until: Option<String>,
    /// Proxies and control planes that are waited for; of many, some.
    pub waits_for: Vec<String>,
}

impl Ca {
    fn of(authority: &Authority) -> Self {
        let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
        let trust = authority.trust();
        let shown = |root: &Root| ShownRoot {
            fingerprint: root.fingerprint.clone(),
            pin: root.pin.clone(),
            not_before: time(root.not_before),
            not_after: time(root.not_after),
            signs: *root == trust.current,
            certificate: root.pem(),
        };
        Self {
            trust_domain: authority.trust_domain.to_string(),
            made_here: authority.is_made(),
            roots: trust.roots.iter().map(shown).collect(),
            rotation: ShownRotation {
                step: trust.rotation.step.as_str().to_owned(),
                since: time(trust.rotation.since),
                until: trust.rotation.until.map(time),
                waits_for: authority.waits_for(),
            },
            fault: authority.fault(),
        }
    }
}

pub(super) fn authority(api: &Api) -> Result<&Arc<Authority>, Problem> {
    api.hooks.authority.as_ref().ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no authority here"))
}

pub(super) async fn get(State(api): State<Arc<Api>>) -> Result<Json<Ca>, Problem> {
    authority(&api).map(|authority| Json(Ca::of(authority)))
}

pub(super) async fn rotate(State(api): State<Arc<Api>>) -> Result<Json<Ca>, Problem> {
    let authority = authority(&api)?;
    authority.rotate().await.map_err(|not_now| match not_now {
        NotNow::Conflict(reason) => Problem::new(StatusCode::CONFLICT, reason),
        NotNow::Store(error) => error.into(),
    })?;
    Ok(Json(Ca::of(authority)))
}
