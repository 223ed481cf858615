//! Tokens by which workloads join: made, listed, revoked. The secret is in the answer that makes one, and nowhere else.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::auth::Role;
use crate::api::problem::Problem;
use crate::api::{Api, body};
use crate::model::fault::Fault;
use crate::model::identity::is_control_planes;
use crate::model::limits::Limits;
use crate::model::service::Labels;
use crate::source::manifest;
use crate::token::{LONGEST, MOST_USES, Token, Wish};

/// A day: time enough to start what is to join, and no more.
const TTL: Duration = Duration::from_secs(86_400);
/// Whom a token is for, where nothing is said.
const ACCOUNT: &str = "default";

/// A token as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownToken {
    /// What it is called.
    pub id: String,
    /// For whom.
    pub namespace: String,
    /// The account.
    pub service_account: String,
    /// The only workload.
    pub workload: Option<String>,
    /// The only labels that they have, each with its value, or `*` for any; none: what each says of itself.
    #[serde(default)]
    pub labels: Labels,
    /// Whether its record is as the control plane has written it: nobody joins by one that is not.
    #[serde(default)]
    pub signed: bool,
    /// When it was made.
    pub created: String,
    /// When nobody can join by it any more.
    pub expires: String,
    /// Whether that time has come.
    pub expired: bool,
    /// How many different workloads may join.
    pub uses: Option<u32>,
    /// Those that have, if they are counted.
    pub used: Vec<String>,
    /// The token itself, in the answer that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// All tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShownTokens {
    /// The oldest first.
    pub items: Vec<ShownToken>,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    namespace: String,
    service_account: Option<String>,
    workload: Option<String>,
    labels: Option<Labels>,
    ttl_seconds: Option<u64>,
    uses: Option<u32>,
}

impl ShownToken {
    fn of(token: Token, shown: Option<String>) -> Self {
        let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
        Self {
            expired: token.is_expired(SystemTime::now()),
            id: token.id,
            namespace: token.namespace,
            service_account: token.service_account,
            workload: token.workload,
            labels: token.limits.labels().clone(),
            signed: token.is_signed,
            created: time(token.created),
            expires: time(token.expires),
            uses: token.uses,
            used: token.used,
            token: shown,
        }
    }
}

/// Whoever makes tokens decides who may join; whoever only looks need not know of them.
fn check(role: Role) -> Result<(), Problem> {
    match role {
        Role::Admin => Ok(()),
        Role::Read => Err(Problem::new(StatusCode::FORBIDDEN, "tokens are for the admin token to see and to make")),
    }
}

pub(super) async fn list(State(api): State<Arc<Api>>, Extension(role): Extension<Role>) -> Result<Json<ShownTokens>, Problem> {
    check(role)?;
    Ok(Json(ShownTokens { items: api.joining.list().into_iter().map(|token| ShownToken::of(token, None)).collect() }))
}

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(role): Extension<Role>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    check(role)?;
    let asked = body::documents(&api, &headers, body).await?.one()?;
    let asked: Asked = serde_json::from_value(asked).map_err(|error| Problem::bad(format!("the body: {error}")))?;
    let wish = wish(asked).map_err(|faults| Problem::invalid("the token", &faults))?;
    let pin = api.hooks.authority.as_ref().map(|authority| authority.trust().current.pin.clone());
    let (token, shown) = api.joining.create(wish, pin.as_deref()).await?;
    let labels = token.limits.to_string();
    tracing::info!(id = token.id, namespace = token.namespace, account = token.service_account, labels, "a token was made");
    let body = Json(ShownToken::of(token, Some(shown)));
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], body).into_response())
}

pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(role): Extension<Role>,
    Path(id): Path<String>,
) -> Result<Json<ShownToken>, Problem> {
    check(role)?;
    let unknown = || Problem::new(StatusCode::NOT_FOUND, format!("there is no token {id:?}"));
    let token = api.joining.get(&id).ok_or_else(unknown)?;
    if !api.joining.revoke(&id).await? {
        return Err(unknown());
    }
    tracing::info!(id, "a token was revoked");
    Ok(Json(ShownToken::of(token, None)))
}

/// The names obey the rules that a Workload's do.
fn wish(asked: Asked) -> Result<Wish, Vec<Fault>> {
    let account = asked.service_account.unwrap_or_else(|| ACCOUNT.to_owned());
    let example = json!({
        "apiVersion": "ninon.dev/v1alpha1",
        "kind": "Workload",
        "metadata": {"namespace": asked.namespace, "name": asked.workload.as_deref().unwrap_or("any")},
        "spec": {"addresses": ["127.0.0.1"], "serviceAccount": account},
    });
    let mut faults = match manifest::read(&example) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| Fault { path: field(&fault.path), ..fault }).collect(),
    };
    if is_control_planes(&asked.namespace, &account) {
        faults.push(Fault::at("serviceAccount", format!("{}/{account} is the control plane, and nobody joins as it", asked.namespace)));
    }
    let longest = LONGEST.as_secs();
    let ttl = asked.ttl_seconds.unwrap_or(TTL.as_secs());
    if !(1..=longest).contains(&ttl) {
        faults.push(Fault::at("ttlSeconds", format!("must be 1 to {longest}, got {ttl}")));
    }
    if let Some(uses) = asked.uses.filter(|uses| !(1..=MOST_USES).contains(uses)) {
        faults.push(Fault::at("uses", format!("must be 1 to {MOST_USES}, got {uses}")));
    }
    let limits = Limits::new(asked.labels.unwrap_or_default()).unwrap_or_else(|wrong| {
        faults.extend(wrong);
        Limits::default()
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    let ttl = Duration::from_secs(ttl);
    Ok(Wish { namespace: asked.namespace, service_account: account, workload: asked.workload, limits, ttl, uses: asked.uses })
}

fn field(path: &str) -> String {
    match path {
        "metadata.namespace" => "namespace".to_owned(),
        "metadata.name" => "workload".to_owned(),
        "spec.serviceAccount" => "serviceAccount".to_owned(),
        other => other.to_owned(),
    }
}
