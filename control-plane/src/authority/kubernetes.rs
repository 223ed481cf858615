//! Callers that show the token of a Kubernetes service account.
//!
//! The API server of the cluster says whose it is and whether it still holds, for a token of a pod that is gone does not:
//! `TokenReview` of `authentication.k8s.io/v1`.
//! <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>

/// Its API server.
mod cluster;

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::authority::caller::{Authenticator, By, Caller};
use crate::authority::certify::Refused;
use crate::authority::issuer::Later;
use crate::model::identity::{Identity, is_control_planes};
use crate::model::limits::Limits;

pub use cluster::Cluster;

/// What is asked.
const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How long the wait for a turn to ask.
const TURN: Duration = Duration::from_secs(2);
/// Questions at a time: whoever shows nonsense makes one, too.
const AT_A_TIME: usize = 64;
/// No token is longer.
const LONGEST: usize = 16 * 1024;
/// What the API server calls service accounts: <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens>
const ACCOUNT: &str = "system:serviceaccount:";
/// What is told of an API server's words.
const WORDS: usize = 200;

/// Knows callers by tokens of service accounts.
pub struct ServiceAccounts {
    cluster: Cluster,
    audience: String,
    turns: Semaphore,
}

impl fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccounts").field("cluster", &self.cluster).field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl ServiceAccounts {
    /// Of a cluster. The tokens have to be for this audience.
    pub fn new(cluster: Cluster, audience: &str) -> Self {
        Self { cluster, audience: audience.to_owned(), turns: Semaphore::new(AT_A_TIME) }
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, String> {
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![self.audience.clone()]) };
        let asked = serde_json::to_vec(&TokenReview { spec, ..TokenReview::default() }).map_err(|error| error.to_string())?;
        // It is never closed.
        let _turn = timeout(TURN, self.turns.acquire()).await.map_err(|_| "too many others are being asked about".to_owned())?;
        let answered = timeout(LIMIT, self.cluster.post(PATH, asked)).await;
        let (status, body) = answered.map_err(|_| format!("no answer within {}", humantime::format_duration(LIMIT)))??;
        if status != StatusCode::CREATED && status != StatusCode::OK {
            let why = serde_json::from_slice::<Status>(&body).ok().and_then(|status| status.message).unwrap_or_default();
            return Err(format!("it answers {}: {}", status.as_u16(), short(&why)));
        }
        let review: TokenReview =
            serde_json::from_slice(&body).map_err(|error| format!("its answer makes no sense: {}", short(&error.to_string())))?;
        review.status.ok_or_else(|| "its answer says nothing of the token".to_owned())
    }
}

impl Authenticator for ServiceAccounts {
    /// Three parts of base64url, the first of them an object: a JSON Web Token (RFC 7519, section 3.1).
    fn knows(&self, shown: &str) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_digit);
        shown.len() <= LONGEST && shown.starts_with("eyJ") && shown.split('.').count() == 3 && shown.split('.').all(is_part)
    }

    fn asks_others(&self) -> bool {
        true
    }

    /// What the API server says beside yes and no is for operators: the caller may be anybody.
    fn authenticate<'a>(&'a self, shown: &'a str, trust_domain: &'a str) -> Later<'a, Result<Caller, Refused>> {
        Box::pin(async move {
            let status = self.review(shown).await.map_err(|problem| {
                tracing::warn!(problem, "the Kubernetes API server was asked about a token in vain");
                Refused::Unavailable("the Kubernetes API server was asked about the token in vain; try again later".to_owned())
            })?;
            if let Some(error) = &status.error {
                tracing::info!(error = short(error), "the Kubernetes API server does not take a token for good");
            }
            caller(status, &self.audience, trust_domain)
        })
    }

    /// They are not counted.
    fn take<'a>(&'a self, _: &'a Caller, _: &'a str) -> Later<'a, Result<(), Refused>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Whose token it is, by what the API server says.
fn caller(status: TokenReviewStatus, audience: &str, trust_domain: &str) -> Result<Caller, Refused> {
    if status.authenticated != Some(true) {
        return Err(Refused::Unauthenticated("Kubernetes does not take the token for good".to_owned()));
    }
    // One that knows nothing of audiences names none.
    if !status.audiences.unwrap_or_default().iter().any(|of| of == audience) {
        return Err(Refused::Unauthenticated(format!("the token is not for the audience {audience:?}")));
    }
    let name = status.user.and_then(|user| user.username).unwrap_or_default();
    let account = name.strip_prefix(ACCOUNT).and_then(|account| account.split_once(':'));
    let Some((namespace, account)) = account.filter(|(_, account)| !account.contains(':')) else {
        return Err(Refused::Denied(format!("the token is of {:?}, which is no service account", short(&name))));
    };
    if is_control_planes(namespace, account) {
        return Err(Refused::Denied(format!("{namespace}/{account} is the control plane, and nobody else")));
    }
    let identity = Identity::new(trust_domain, namespace, account);
    let nobody = |error| Refused::Denied(format!("the service account {:?} is nobody here: {error}", short(&name)));
    let identity = identity.map_err(nobody)?;
    let by = By::ServiceAccount(format!("{namespace}/{account}"));
    Ok(Caller { identity, workload: None, limits: Limits::default(), by, shown: None })
}

fn short(words: &str) -> String {
    words.chars().filter(|letter| !letter.is_control()).take(WORDS).collect()
}

#[cfg(test)]
mod tests;
