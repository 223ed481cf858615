//! Listener filters to `Detection`.
//!
//! Their order is fixed here: PROXY header, original destination, then what the bytes show. A file that asks for another
//! order that would mean something else is refused.

use std::time::Duration;

use xds_proto::any;
use xds_proto::envoy::config::core::v3::proxy_protocol_config::Version;
use xds_proto::envoy::config::listener::v3 as wire;
use xds_proto::envoy::config::listener::v3::listener_filter::ConfigType;
use xds_proto::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use xds_proto::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use xds_proto::envoy::extensions::filters::listener::original_src::v3::OriginalSrc;
use xds_proto::envoy::extensions::filters::listener::proxy_protocol::v3 as proxy;
use xds_proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;

use crate::config::listener::{Detection, OriginalSource, ProxyProtocol};
use crate::xds::invalid::Parser;

/// As Envoy: time for the first bytes of a client.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Parses the listener filters.
pub fn parse(listener: &wire::Listener, parser: &mut Parser) -> Option<Detection> {
    let mut detection = Detection {
        proxy_protocol: None,
        original_dst: listener.use_original_dst == Some(true),
        original_src: None,
        tls: false,
        http: false,
        timeout: parser.limit("listener_filters_timeout", listener.listener_filters_timeout.as_ref(), Some(TIMEOUT)),
        continue_on_timeout: listener.continue_on_listener_filters_timeout,
    };
    parser.each::<_, ()>("listener_filters", &listener.listener_filters, |filter, parser| listener_filter(filter, &mut detection, parser));
    if detection.proxy_protocol.is_none() && listener.filter_chains.iter().any(|chain| chain.use_proxy_proto == Some(true)) {
        detection.proxy_protocol = Some(ProxyProtocol { optional: false, disallow_v1: false, disallow_v2: false });
    }
    if !detection.tls && listener.filter_chains.iter().any(needs_tls_inspector) {
        // As Envoy: the inspector is put in where matches need it.
        parser.at("listener_filters", |parser| {
            parser.warn("tls_inspector is added: a filter chain matches by server name, application protocol or TLS");
        });
        detection.tls = true;
    }
    Some(detection)
}

fn needs_tls_inspector(chain: &wire::FilterChain) -> bool {
    chain.filter_chain_match.as_ref().is_some_and(|matches| {
        let protocol = matches.transport_protocol.as_str();
        let by_hello = !matches.server_names.is_empty() || !matches.application_protocols.is_empty();
        protocol == "tls" || (protocol.is_empty() && by_hello)
    })
}

fn listener_filter(filter: &wire::ListenerFilter, detection: &mut Detection, parser: &mut Parser) -> Option<()> {
    if filter.name.is_empty() {
        parser.refuse_at::<()>("name", "required");
    }
    parser.unsupported("filter_disabled", filter.filter_disabled.is_some());
    let config = match filter.config_type.as_ref() {
        None => return parser.refuse_at("typed_config", "required"),
        Some(ConfigType::ConfigDiscovery(_)) => return parser.refuse_at("config_discovery", "not supported"),
        Some(ConfigType::TypedConfig(config)) => config,
    };
    parser.at("typed_config", |parser| {
        if any::is::<TlsInspector>(config) {
            let inspector = parser.unpack(config)?;
            tls_inspector(&inspector, parser);
            detection.tls = true;
        } else if any::is::<HttpInspector>(config) {
            detection.http = true;
        } else if any::is::<OriginalDst>(config) {
            detection.original_dst = true;
        } else if any::is::<OriginalSrc>(config) {
            let OriginalSrc { bind_port, mark } = parser.unpack(config)?;
            detection.original_src = Some(OriginalSource { bind_port, mark });
        } else if any::is::<proxy::ProxyProtocol>(config) {
            if detection.tls || detection.http {
                return parser.refuse("must stand before tls_inspector and http_inspector: the PROXY header comes first");
            }
            if detection.proxy_protocol.is_some() {
                return parser.refuse("there is a proxy_protocol filter already");
            }
            let config = parser.unpack(config)?;
            detection.proxy_protocol = Some(proxy_protocol(&config, parser)?);
        } else {
            let available = "TlsInspector, HttpInspector, OriginalDst, OriginalSrc, ProxyProtocol";
            return parser.refuse_type("listener filter", config, available);
        }
        Some(())
    })
}

fn tls_inspector(inspector: &TlsInspector, parser: &mut Parser) {
    parser.ignored("enable_ja3_fingerprinting", inspector.enable_ja3_fingerprinting == Some(true), "nothing shows it");
    parser.ignored("enable_ja4_fingerprinting", inspector.enable_ja4_fingerprinting == Some(true), "nothing shows it");
    let own_limit = "the limit of a ClientHello is fixed";
    parser.ignored("initial_read_buffer_size", inspector.initial_read_buffer_size.is_some(), own_limit);
    parser.ignored("max_client_hello_size", inspector.max_client_hello_size.is_some(), own_limit);
    let closes = inspector.close_connection_on_client_hello_parsing_errors;
    parser.unsupported("close_connection_on_client_hello_parsing_errors", closes);
}

fn proxy_protocol(config: &proxy::ProxyProtocol, parser: &mut Parser) -> Option<ProxyProtocol> {
    let nobody_reads = "nothing here reads TLVs";
    parser.ignored("rules", !config.rules.is_empty(), nobody_reads);
    parser.ignored("pass_through_tlvs", config.pass_through_tlvs.is_some(), nobody_reads);
    parser.ignored("tlv_location", config.tlv_location != 0, nobody_reads);
    parser.ignored("stat_prefix", !config.stat_prefix.is_empty(), "counters have one name");
    let versions = parser.each("disallowed_versions", &config.disallowed_versions, |version, parser| {
        let known = Version::try_from(*version).ok();
        known.or_else(|| parser.refuse(format_args!("{version} is not a value of this enum")))
    });
    let proxy_protocol = ProxyProtocol {
        optional: config.allow_requests_without_proxy_protocol,
        disallow_v1: versions.contains(&Version::V1),
        disallow_v2: versions.contains(&Version::V2),
    };
    Some(proxy_protocol)
}
