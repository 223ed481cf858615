//! Routes: one table, from which the router and the OpenAPI document are made.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, post};

use crate::api::problem::Problem;
use crate::api::query::Target;
use crate::api::{Api, apply, auth, ca, loads, objects, openapi, proxies, revisions, revocations, tokens};

/// A path of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Health,
    Ready,
    Metrics,
    OpenApi,
    Revisions,
    Revision,
    Rollback,
    Apply,
    Proxies,
    Proxy,
    ProxyConfig,
    Loads,
    Tokens,
    Token,
    Ca,
    CaRotate,
    CaRevocations,
    CaRevocation,
    Kind,
    KindNamespace,
    KindNamespaceName,
}

impl Path {
    pub(super) const ALL: [Self; 21] = [
        Self::Health,
        Self::Ready,
        Self::Metrics,
        Self::OpenApi,
        Self::Revisions,
        Self::Revision,
        Self::Rollback,
        Self::Apply,
        Self::Proxies,
        Self::Proxy,
        Self::ProxyConfig,
        Self::Loads,
        Self::Tokens,
        Self::Token,
        Self::Ca,
        Self::CaRotate,
        Self::CaRevocations,
        Self::CaRevocation,
        Self::Kind,
        Self::KindNamespace,
        Self::KindNamespaceName,
    ];

    pub(super) const fn template(self) -> &'static str {
        match self {
            Self::Health => "/healthz",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::OpenApi => "/openapi.json",
            Self::Revisions => "/api/v1/revisions",
            Self::Revision => "/api/v1/revisions/{revision}",
            Self::Rollback => "/api/v1/rollback",
            Self::Apply => "/api/v1/apply",
            Self::Proxies => "/api/v1/proxies",
            Self::Proxy => "/api/v1/proxies/{id}",
            Self::ProxyConfig => "/api/v1/proxies/{id}/config",
            Self::Loads => "/api/v1/loads",
            Self::Tokens => "/api/v1/tokens",
            Self::Token => "/api/v1/tokens/{id}",
            Self::Ca => "/api/v1/ca",
            Self::CaRotate => "/api/v1/ca/rotate",
            Self::CaRevocations => "/api/v1/ca/revocations",
            Self::CaRevocation => "/api/v1/ca/revocations/{id}",
            Self::Kind => "/api/v1/{kind}",
            // For a kind without a namespace this is the object, `namespace` being its name.
            Self::KindNamespace => "/api/v1/{kind}/{namespace}",
            Self::KindNamespaceName => "/api/v1/{kind}/{namespace}/{name}",
        }
    }

    fn handler(self) -> MethodRouter<Arc<Api>> {
        match self {
            Self::Health => get(async || "ok\n"),
            Self::Ready => get(ready),
            Self::Metrics => get(metrics),
            Self::OpenApi => get(openapi::get),
            Self::Revisions => get(revisions::list),
            Self::Revision => get(revisions::get),
            Self::Rollback => post(revisions::rollback),
            Self::Apply => post(apply::apply),
            Self::Proxies => get(proxies::list),
            Self::Proxy => get(proxies::get),
            Self::ProxyConfig => get(proxies::config),
            Self::Loads => get(loads::list),
            Self::Tokens => get(tokens::list).post(tokens::create),
            Self::Token => delete(tokens::revoke),
            Self::Ca => get(ca::get),
            Self::CaRotate => post(ca::rotate),
            Self::CaRevocations => get(revocations::list).post(revocations::revoke),
            Self::CaRevocation => delete(revocations::restore),
            Self::Kind => get(objects::get),
            Self::KindNamespace | Self::KindNamespaceName => get(objects::get).put(objects::put).delete(objects::delete),
        }
    }
}

/// The router.
pub(super) fn router(api: &Arc<Api>) -> Router {
    let routes = Path::ALL.into_iter().fold(Router::new(), |router, path| router.route(path.template(), path.handler()));
    routes
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(Arc::clone(api), auth::check))
        .layer(middleware::from_fn_with_state(Arc::clone(api), bounded))
        .with_state(Arc::clone(api))
}

/// A list has fewer methods than its route, which is an object's too when the kind has no namespace.
async fn other_method(target: Result<Target, Problem>) -> Problem {
    let allow = matches!(target, Ok(Target::Collection(..))).then_some("GET,HEAD");
    Problem { allow, ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has other methods; see Allow") }
}

/// An answer that takes too long is given up.
async fn bounded(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(api.limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("this took longer than {:?}; whether it was done is not known", api.limits.request);
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}

async fn ready(State(api): State<Arc<Api>>) -> Result<&'static str, Problem> {
    (api.hooks.ready)(()).map(|()| "ready\n").map_err(|reason| Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason))
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (api.hooks.metrics)(())).into_response()
}
