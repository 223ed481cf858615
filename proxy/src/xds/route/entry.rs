use xds_proto::envoy::config::route::v3 as wire;

use crate::config::Fraction;
use crate::config::route::{Route, RouteAction, RouteMatch, RouteTracing};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::matcher::{fraction_at, not_empty};
use crate::xds::route::{Context, METADATA, action, direct, filters, matches, redirect, replay_limit};

/// A `Route`.
pub fn route(route: &wire::Route, context: &Context, parser: &mut Parser) -> Option<Route> {
    parser.ignored("metadata", route.metadata.is_some(), METADATA);
    parser.unsupported("route_specifiers", !route.route_specifiers.is_empty());
    parser.ignored("stat_prefix", !route.stat_prefix.is_empty(), "requests are not counted by route");
    let matched = parser.required("match", route.r#match.as_ref());
    let matched = matched.and_then(|wire| parser.at("match", |parser| matches::parse(wire, parser)));
    let action = route_action(route, matched.as_ref(), context, parser);
    let operation = decorator(route.decorator.as_ref(), parser);
    let tracing = route.tracing.as_ref().and_then(|wire| parser.at("tracing", |parser| tracing(wire, parser)));
    let request_headers = headers::request(&route.request_headers_to_add, &route.request_headers_to_remove, parser);
    let response_headers = headers::response(&route.response_headers_to_add, &route.response_headers_to_remove, parser);
    Some(Route {
        name: route.name.clone(),
        matches: matched?,
        action: action?,
        request_headers,
        response_headers,
        replay_limit: replay_limit(route.request_body_buffer_limit, route.per_request_buffer_limit_bytes),
        tracing,
        operation,
        filters: filters::overrides(&route.typed_per_filter_config, parser),
    })
}

fn route_action(route: &wire::Route, matched: Option<&RouteMatch>, context: &Context, parser: &mut Parser) -> Option<RouteAction> {
    match &route.action {
        None => parser.refuse("one of route, redirect, direct_response, non_forwarding_action is required"),
        Some(wire::route::Action::Route(action)) => {
            let path = matched.map(|matched| &matched.path);
            let forward = parser.at("route", |parser| action::forward(action, path, parser))?;
            Some(RouteAction::Forward(Box::new(forward)))
        }
        Some(wire::route::Action::Redirect(action)) => {
            let redirect = parser.at("redirect", |parser| redirect::parse(action, parser))?;
            Some(RouteAction::Redirect(Box::new(redirect)))
        }
        Some(wire::route::Action::DirectResponse(action)) => {
            let limit = context.max_direct_response_body;
            parser.at("direct_response", |parser| direct::parse(action, limit, parser)).map(RouteAction::Direct)
        }
        Some(wire::route::Action::NonForwardingAction(_)) => Some(RouteAction::NonForwarding),
    }
}

fn decorator(decorator: Option<&wire::Decorator>, parser: &mut Parser) -> Option<String> {
    let decorator = decorator?;
    parser.at("decorator", |parser| not_empty("operation", &decorator.operation, parser))
}

/// A share that is not set is all, as in Envoy.
fn tracing(wire: &wire::Tracing, parser: &mut Parser) -> Option<RouteTracing> {
    parser.ignored("custom_tags", !wire.custom_tags.is_empty(), "spans have the tags of the listener");
    parser.ignored("operation", !wire.operation.is_empty(), "spans are named by decorator.operation");
    parser.ignored("upstream_operation", !wire.upstream_operation.is_empty(), "spans are named by decorator.operation");
    Some(RouteTracing {
        client_sampling: fraction_at("client_sampling", wire.client_sampling.as_ref(), parser).unwrap_or(Fraction::ALL),
        random_sampling: fraction_at("random_sampling", wire.random_sampling.as_ref(), parser).unwrap_or(Fraction::ALL),
        overall_sampling: fraction_at("overall_sampling", wire.overall_sampling.as_ref(), parser).unwrap_or(Fraction::ALL),
    })
}
