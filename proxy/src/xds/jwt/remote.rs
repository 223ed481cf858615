use std::time::Duration;

use http::Uri;
use http::header::HeaderValue;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3 as wire;

use crate::config::jwt::RemoteJwks;
use crate::xds::ext_authz::service;
use crate::xds::invalid::Parser;

/// As Envoy.
const CACHE: Duration = Duration::from_secs(600);
/// As Envoy.
const PAUSE: Duration = Duration::from_secs(1);

/// Where keys are fetched from.
pub(super) fn parse(wire: &wire::RemoteJwks, parser: &mut Parser) -> Option<RemoteJwks> {
    let uri = parser.required("http_uri", wire.http_uri.as_ref());
    let server = uri.and_then(|uri| parser.at("http_uri", |parser| Some((address(&uri.uri, parser), service::server(uri, parser)))));
    let cache = parser.duration("cache_duration", wire.cache_duration.as_ref());
    let ahead = wire.async_fetch.as_ref();
    let pause = ahead.and_then(|wire| {
        parser.at("async_fetch", |parser| parser.limit("failed_refetch_duration", wire.failed_refetch_duration.as_ref(), None))
    });
    let (address, server) = server?;
    let ((scheme, authority, path), (cluster, timeout)) = (address?, server?);
    Some(RemoteJwks {
        cluster,
        scheme,
        authority,
        path,
        timeout,
        cache: cache.unwrap_or(CACHE).max(PAUSE),
        ahead: ahead.is_some(),
        pause: pause.unwrap_or(PAUSE),
    })
}

/// Scheme, host and path.
fn address(text: &str, parser: &mut Parser) -> Option<(HeaderValue, HeaderValue, String)> {
    let Ok(uri) = text.parse::<Uri>() else { return parser.refuse_at("uri", format_args!("{text:?} is no address")) };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return parser.refuse_at("uri", format_args!("{text:?} has no scheme or no host"));
    };
    let scheme = HeaderValue::from_str(scheme).ok()?;
    let authority = HeaderValue::from_str(authority.as_str()).ok()?;
    Some((scheme, authority, uri.path_and_query().map_or("/", |path| path.as_str()).to_owned()))
}
