//! From the client's version of HTTP to the upstream's, and back.

use std::rc::Rc;

use http::header::{CONNECTION, HeaderValue};
use http::{StatusCode, Version};

use crate::codec::{Body, Informational};
use crate::config::cluster::UpstreamProtocol;
use crate::request::live::Live;
use crate::upstream::ClusterState;

/// The HTTP version to write a request for. TLS may agree on another one; the pool's codec translates then.
pub(in crate::request) fn upstream_version(cluster: &ClusterState, client: Version) -> Version {
    match cluster.config().protocol {
        UpstreamProtocol::Http2 => Version::HTTP_2,
        UpstreamProtocol::UseDownstream if client == Version::HTTP_2 => Version::HTTP_2,
        UpstreamProtocol::Http1 | UpstreamProtocol::UseDownstream | UpstreamProtocol::Auto => Version::HTTP_11,
    }
}

/// Turns the answer to an upgrade into the client's version (RFC 8441); tells whether it was accepted.
pub(super) fn translate_upgrade(live: &Live, response: &mut http::Response<Body>) -> bool {
    let Some(protocol) = &live.head.upgrade else {
        return live.head.path.is_none() && response.status().is_success();
    };
    let accepted = response.status() == StatusCode::SWITCHING_PROTOCOLS
        || (live.info.upstream.protocol == Some(Version::HTTP_2) && response.status().is_success());
    if !accepted {
        return false;
    }
    if live.head.version == Version::HTTP_2 {
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(CONNECTION);
        response.headers_mut().remove(http::header::UPGRADE);
    } else {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let fields = response.headers_mut();
        fields.entry(CONNECTION).or_insert(HeaderValue::from_static("upgrade"));
        if !fields.contains_key(http::header::UPGRADE)
            && let Ok(protocol) = HeaderValue::try_from(protocol.as_str())
        {
            fields.insert(http::header::UPGRADE, protocol);
        }
    }
    true
}

/// Nobody asks for other informational answers; Envoy drops them, too.
pub(super) fn only_100(informational: Informational) -> Informational {
    match informational.0 {
        None => Informational(None),
        Some(send) => Informational(Some(Rc::new(move |response: http::Response<()>| {
            if response.status() == StatusCode::CONTINUE {
                send(response);
            }
        }))),
    }
}
