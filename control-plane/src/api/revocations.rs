//! Certificates that are no longer good although they have not expired.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use crate::api::ca::authority;
use crate::api::problem::Problem;
use crate::api::{Api, body};
use crate::authority::Authority;
use crate::authority::revocation::{NotRevoked, Revocation, Whose};
use crate::model::fault::Fault;
use crate::model::identity::Identity;

pub use crate::authority::revocation::{Reason, serial};

/// A revocation as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownRevocation {
    /// What it is called: the number of a certificate, or `NAMESPACE:ACCOUNT`.
    pub id: String,
    /// The number, if it is of one certificate.
    pub serial: Option<String>,
    /// Whose, if that is known.
    pub identity: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Since when. Of an account, what was given before that is not good.
    pub since: String,
    /// Then nothing holds any more that is concerned.
    pub until: String,
}

/// All of them.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShownRevocations {
    /// In the order of their names.
    pub items: Vec<ShownRevocation>,
}

/// What is to be revoked: a certificate, or all of an account.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Asked {
    serial: Option<String>,
    namespace: Option<String>,
    service_account: Option<String>,
    reason: Reason,
}

impl From<Revocation> for ShownRevocation {
    fn from(of: Revocation) -> Self {
        let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
        let serial = if let Whose::Certificate(serial, _) = &of.whose { Some(serial.clone()) } else { None };
        let identity = of.identity().map(ToString::to_string);
        Self { id: of.id(), serial, identity, reason: of.reason, since: time(of.since), until: time(of.until) }
    }
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Result<Json<ShownRevocations>, Problem> {
    let all = authority(&api)?.revocations(SystemTime::now());
    Ok(Json(ShownRevocations { items: all.into_iter().map(ShownRevocation::from).collect() }))
}

pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<ShownRevocation>), Problem> {
    let asked = body::documents(&api, &headers, body).await?.one()?;
    let asked: Asked = serde_json::from_value(asked).map_err(|error| Problem::bad(format!("the body: {error}")))?;
    let authority = authority(&api)?;
    let reason = asked.reason;
    let whose = whose(asked, authority).map_err(|fault| Problem::invalid("the revocation", &[fault]))?;
    let revoked = authority.revoke(whose, reason, SystemTime::now()).await.map_err(|refused| match refused {
        NotRevoked::Invalid(problem) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, problem),
        NotRevoked::TooMany(_) => Problem::new(StatusCode::CONFLICT, refused.to_string()),
        NotRevoked::Store(error) => error.into(),
    })?;
    Ok((StatusCode::CREATED, Json(revoked.into())))
}

pub(super) async fn restore(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Json<ShownRevocation>, Problem> {
    let was = authority(&api)?.restore(&id).await?;
    was.map(|was| Json(was.into())).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, format!("{id:?} is not revoked")))
}

fn whose(asked: Asked, authority: &Authority) -> Result<Whose, Fault> {
    match (asked.serial, asked.namespace, asked.service_account) {
        (Some(text), None, None) => serial(&text).map(|serial| Whose::Certificate(serial, None)).map_err(|rule| Fault::at("serial", rule)),
        (None, Some(namespace), Some(account)) => {
            let identity = Identity::new(&authority.trust_domain, &namespace, &account);
            identity.map(Whose::Account).map_err(|error| Fault::at("serviceAccount", error.to_string()))
        }
        _ => Err(Fault::at("serial", "either a serial, or both a namespace and a serviceAccount, is needed")),
    }
}
