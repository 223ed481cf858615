//! The client status discovery service: what each connected client was sent, and what it said to that.

use std::pin::Pin;
use std::sync::Arc;

use prost::Message as _;
use prost_types::{Any, Timestamp};
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};
use xds_proto::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use xds_proto::envoy::config::core::v3 as core;
use xds_proto::envoy::service::status::v3 as wire;
use xds_proto::envoy::service::status::v3::client_config::GenericXdsConfig;
use xds_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use xds_proto::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};

use crate::model::identity::Verified;
use crate::proxies::status::{Held, HeldStatus, TypeStatus};
use crate::proxies::{Proxies, Proxy};
use crate::push::connection::verified;
use crate::snapshot::kind::Kind;

/// Resources in one answer, of all clients: some tens of megabytes.
const MOST: usize = 50_000;

/// See the module.
pub struct ClientStatus(Arc<Proxies>);

impl ClientStatus {
    /// Of all clients.
    pub fn new(proxies: Arc<Proxies>) -> Self {
        Self(proxies)
    }
}

#[tonic::async_trait]
impl wire::client_status_discovery_service_server::ClientStatusDiscoveryService for ClientStatus {
    type StreamClientStatusStream = Pin<Box<dyn Stream<Item = Result<wire::ClientStatusResponse, Status>> + Send>>;

    async fn stream_client_status(
        &self,
        request: Request<Streaming<wire::ClientStatusRequest>>,
    ) -> Result<Response<Self::StreamClientStatusStream>, Status> {
        let (proxies, asks) = (Arc::clone(&self.0), verified(&request)?);
        let answers = request.into_inner().map(move |request| request.and_then(|request| report(&proxies, asks.as_deref(), &request)));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<wire::ClientStatusRequest>,
    ) -> Result<Response<wire::ClientStatusResponse>, Status> {
        let asks = verified(&request)?;
        report(&self.0, asks.as_deref(), request.get_ref()).map(Response::new)
    }
}

/// Who has a certificate is told of those that have the same identity.
fn report(proxies: &Proxies, asks: Option<&Verified>, request: &wire::ClientStatusRequest) -> Result<wire::ClientStatusResponse, Status> {
    let mut response = wire::ClientStatusResponse::default();
    let mut total = 0;
    let may_see = |proxy: &Proxy| {
        let identity = proxy.node.identity.as_ref().map(|verified| &verified.identity);
        asks.is_none_or(|asks| identity == Some(&asks.identity))
    };
    for proxy in proxies.list().into_iter().filter(|proxy| proxy.gone.is_none() && may_see(proxy)) {
        if !is_asked_for(&proxy, &request.node_matchers)? {
            continue;
        }
        let held = proxies.held(proxy.stream).unwrap_or_default();
        total += held.len();
        if total > MOST {
            let reason = format!("these are more than {MOST} resources; ask for fewer clients by `node_matchers`");
            return Err(Status::resource_exhausted(reason));
        }
        let one = |held: Held| config(proxies, &proxy.types, held, request.exclude_resource_contents);
        let generic_xds_configs = held.into_iter().map(one).collect();
        response.config.push(wire::ClientConfig { node: Some(node(&proxy)), generic_xds_configs, ..wire::ClientConfig::default() });
    }
    Ok(response)
}

fn is_asked_for(proxy: &Proxy, matchers: &[NodeMatcher]) -> Result<bool, Status> {
    if matchers.is_empty() {
        return Ok(true);
    }
    for matcher in matchers {
        if !matcher.node_metadatas.is_empty() {
            return Err(Status::invalid_argument("`node_metadatas` is not supported; ask by `node_id`"));
        }
        if matcher.node_id.as_ref().map_or(Ok(true), |id| matches(id, &proxy.node.id))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn matches(matcher: &StringMatcher, text: &str) -> Result<bool, Status> {
    let folded = |text: &str| if matcher.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let text = folded(text);
    match &matcher.match_pattern {
        Some(MatchPattern::Exact(wanted)) => Ok(text == folded(wanted)),
        Some(MatchPattern::Prefix(wanted)) => Ok(text.starts_with(&folded(wanted))),
        Some(MatchPattern::Suffix(wanted)) => Ok(text.ends_with(&folded(wanted))),
        Some(MatchPattern::Contains(wanted)) => Ok(text.contains(&folded(wanted))),
        Some(MatchPattern::SafeRegex(_) | MatchPattern::Custom(_)) | None => {
            Err(Status::invalid_argument("`node_id` can be `exact`, `prefix`, `suffix` or `contains`"))
        }
    }
}

fn config(proxies: &Proxies, types: &[TypeStatus], held: Held, without_content: bool) -> GenericXdsConfig {
    let of_type = types.iter().find(|of| of.kind == held.kind);
    let (config, client) = match held.status {
        HeldStatus::NotSent => (wire::ConfigStatus::NotSent, ClientResourceStatus::Requested),
        HeldStatus::Sent => (wire::ConfigStatus::Stale, ClientResourceStatus::Requested),
        HeldStatus::Acknowledged => (wire::ConfigStatus::Synced, ClientResourceStatus::Acked),
        HeldStatus::Refused => (wire::ConfigStatus::Error, ClientResourceStatus::Nacked),
    };
    let refusal = of_type.and_then(|of| of.refusal.as_ref()).filter(|_| held.status == HeldStatus::Refused);
    let error_state = refusal.map(|refusal| UpdateFailureState {
        last_update_attempt: Some(time(proxies, refusal.at)),
        details: refusal.message.clone(),
        version_info: refusal.version.to_string(),
        ..UpdateFailureState::default()
    });
    // Keys are for the client alone.
    let is_shown = !without_content && held.kind != Kind::Secret;
    let content = held.resource.filter(|_| is_shown).and_then(|resource| Any::decode(resource.any.as_ref()).ok());
    GenericXdsConfig {
        type_url: held.kind.type_url().to_owned(),
        name: held.name.to_string(),
        version_info: held.version.map(|version| version.to_string()).unwrap_or_default(),
        xds_config: content,
        last_updated: of_type.and_then(|of| of.sent).map(|(_, at)| time(proxies, at)),
        config_status: config.into(),
        client_status: client.into(),
        error_state,
        is_static_resource: false,
    }
}

fn node(proxy: &Proxy) -> core::Node {
    let locality = proxy.node.locality.clone();
    core::Node {
        id: proxy.node.id.clone(),
        cluster: proxy.node.cluster.clone(),
        locality: Some(core::Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone }),
        user_agent_name: proxy.node.user_agent_name.clone(),
        ..core::Node::default()
    }
}

fn time(proxies: &Proxies, at: Instant) -> Timestamp {
    proxies.time(at).into()
}
