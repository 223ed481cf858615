use std::sync::Arc;
use std::time::SystemTime;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::{Method, StatusCode};

use crate::config::filter::FilterOverride;
use crate::config::jwt::{JwtAuthentication, JwtOverride, KeySource, Requirement};
use crate::exchange::RequestPath;
use crate::filter::jwt::{self, Failure, KeysNow, Verdict, Verified};
use crate::forward::timeout::within;
use crate::reply::LocalReply;
use crate::request::guarded::{Asking, routed};
use crate::request::live::Live;
use crate::request::{Stop, attempt, keys};
use crate::route::{MatchContext, matches};
use crate::runtime::keys::Fetched;

/// Whose metadata claims are.
const JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";

/// Where keys are taken from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// For each provider the keys that are fetched.
    pub(super) fetched: &'a [Option<Arc<Fetched>>],
    /// The request has waited: it takes what there is.
    pub(super) has_waited: bool,
}

impl Source<'_> {
    fn keys(self, filter: &JwtAuthentication, provider: usize) -> KeysNow {
        match (filter.providers.get(provider).map(|provider| &provider.keys), self.fetched.get(provider)) {
            (Some(KeySource::Local(keys)), _) => KeysNow::Known(Arc::clone(keys)),
            (Some(KeySource::Remote(_)), Some(Some(fetched))) if self.has_waited => fetched.last(),
            (Some(KeySource::Remote(_)), Some(Some(fetched))) => fetched.now(),
            _ => KeysNow::Failed,
        }
    }
}

/// How far it is decided.
pub(super) enum Passed {
    /// It may go on.
    Verified(Verified),
    /// It depends on the keys of this provider, which are not there yet.
    NeedsKeys(usize),
}

/// Waits for the keys that a request depends on, then decides.
pub(super) async fn verify_with_keys(
    asking: &Asking<'_>,
    live: &mut Live,
    (filter, fetched): (&JwtAuthentication, &[Option<Arc<Fetched>>]),
    said: Option<&FilterOverride>,
) -> Result<Verified, Stop> {
    // Once for each provider, since the keys of one may lead to the next.
    for _ in &filter.providers {
        match verify(live, filter, said, Source { fetched, has_waited: false })? {
            Passed::Verified(verified) => return Ok(verified),
            Passed::NeedsKeys(provider) => {
                let Some(Some(fetched)) = fetched.get(provider) else { break };
                let obtained = keys::obtain(&asking.connection.0.worker, fetched);
                if let Err(expired) = within(&mut live.deadlines, obtained).await {
                    return Err(attempt::stream_expired(live, expired).into());
                }
            }
        }
    }
    match verify(live, filter, said, Source { fetched, has_waited: true })? {
        Passed::Verified(verified) => Ok(verified),
        Passed::NeedsKeys(_) => Err(unauthorized(live, filter, Failure::NoKeys)),
    }
}

pub(super) fn verify(
    live: &mut Live,
    filter: &JwtAuthentication,
    said: Option<&FilterOverride>,
    source: Source<'_>,
) -> Result<Passed, Stop> {
    let said = if let Some(FilterOverride::Jwt(said)) = said { Some(said) } else { None };
    if said == Some(&JwtOverride::Disabled) || (filter.bypass_cors_preflight && is_preflight(live)) {
        let mut nothing = Verified::default();
        nothing.was_spoofed = jwt::sanitize(filter, &mut live.head);
        return Ok(Passed::Verified(nothing));
    }
    let needed = match said {
        Some(JwtOverride::Named(name)) => match filter.named.get(name) {
            Some(requirement) => Some(requirement),
            None => return Err(no_requirement(live, filter, name)),
        },
        Some(JwtOverride::Disabled) | None => of_rules(live, filter),
    };
    let keys = |index: usize| source.keys(filter, index);
    let verdict = match needed {
        None => Verdict::Good(Verified::default()),
        Some(requirement) => jwt::verify(filter, requirement, &live.head, SystemTime::now(), &keys),
    };
    let mut verified = match verdict {
        Verdict::Good(verified) => verified,
        Verdict::Bad(failure) => return Err(unauthorized(live, filter, failure)),
        Verdict::NeedsKeys(provider) => return Ok(Passed::NeedsKeys(provider)),
    };
    verified.was_spoofed = jwt::sanitize(filter, &mut live.head);
    verified.apply(filter, &mut live.head);
    for (name, claims) in verified.metadata(filter) {
        live.info.metadata.get_or_insert_default().insert(JWT_AUTHN, name.to_owned(), claims);
    }
    Ok(Passed::Verified(verified))
}

fn of_rules<'a>(live: &Live, filter: &'a JwtAuthentication) -> Option<&'a Requirement> {
    let context = MatchContext { tls: live.info.connection.tls.as_ref(), internal: live.info.internal, draw: fastrand::u64(..) };
    let rule = filter.rules.iter().find(|(matched, _)| matches::first_mismatch(matched, &live.head, &context).is_none());
    rule.and_then(|(_, requirement)| requirement.as_ref())
}

fn is_preflight(live: &Live) -> bool {
    let filled = |name: HeaderName| live.head.headers.get(name).is_some_and(|value| !value.is_empty());
    live.head.method == Method::OPTIONS && filled(ORIGIN) && filled(ACCESS_CONTROL_REQUEST_METHOD)
}

/// As Envoy: 403 where the token is good but for somebody else.
fn unauthorized(live: &Live, filter: &JwtAuthentication, failure: Failure) -> Stop {
    let status = if failure == Failure::Audience { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
    let mut reply = denial(live, filter, status, failure.to_string(), failure.reason());
    if !filter.strip_failure_response
        && let Some(challenge) = challenge(live, failure)
    {
        reply.headers.insert(WWW_AUTHENTICATE, challenge);
    }
    reply.into()
}

/// Nothing can fulfil a requirement that is not there.
fn no_requirement(live: &Live, filter: &JwtAuthentication, name: &str) -> Stop {
    let known: Vec<&str> = filter.named.keys().map(String::as_str).collect();
    let told = format!("Wrong requirement_name: {name}. It should be one of [{}]", known.join(", "));
    let mut reply = denial(live, filter, StatusCode::FORBIDDEN, told.clone(), told.clone());
    if !filter.strip_failure_response {
        reply.body = format!("Failed JWT authentication: {told}").into();
    }
    reply.into()
}

fn denial(live: &Live, filter: &JwtAuthentication, status: StatusCode, told: String, reason: String) -> LocalReply {
    let details = format!("jwt_authn_access_denied{{{}}}", told.replace(' ', "_"));
    tracing::debug!(client = %live.info.remote, reason, "no good token");
    let (body, reason) =
        if filter.strip_failure_response { (String::new(), "the request has no good token".to_owned()) } else { (told, reason) };
    routed(live, LocalReply::new(status, body, details).because(None, "http_request_denied", format!("jwt_authn: {reason}")))
}

fn challenge(live: &Live, failure: Failure) -> Option<HeaderValue> {
    let scheme = live.head.scheme.to_str().unwrap_or("http");
    let path = live.head.path.as_ref().map_or("", RequestPath::as_str);
    let realm = format!("{scheme}://{}{path}", live.head.authority.to_str().unwrap_or_default());
    let invalid = if failure == Failure::Missing { "" } else { ", error=\"invalid_token\"" };
    HeaderValue::try_from(format!("Bearer realm=\"{}\"{invalid}", realm.replace(['"', '\\'], "_"))).ok()
}
