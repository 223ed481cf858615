use std::net::SocketAddr;

use xds_proto::envoy::config::cluster::v3 as wire;
use xds_proto::envoy::config::core::v3::BindConfig;

use crate::config::address::{SocketOption, TcpKeepalive};
use crate::xds::address;
use crate::xds::invalid::Parser;

/// How sockets to endpoints are set up.
#[derive(Clone, Debug, Default)]
pub struct Sockets {
    /// Probes.
    pub keepalive: Option<TcpKeepalive>,
    /// Local address.
    pub source_addresses: Vec<SocketAddr>,
    /// Options by number.
    pub socket_options: Vec<SocketOption>,
}

/// The fields `upstream_connection_options` and `upstream_bind_config`.
pub fn parse(cluster: &wire::Cluster, parser: &mut Parser) -> Sockets {
    let mut sockets = Sockets::default();
    if let Some(options) = &cluster.upstream_connection_options {
        parser.at("upstream_connection_options", |parser| {
            let named = options.set_local_interface_name_on_upstream_connections;
            parser.ignored("set_local_interface_name_on_upstream_connections", named, "nothing reads the name");
            let raced = options.happy_eyeballs_config.is_some();
            parser.ignored("happy_eyeballs_config", raced, "an endpoint is reached at its address only");
            let keepalive = options.tcp_keepalive.as_ref();
            sockets.keepalive = keepalive.map(|wire| parser.at("tcp_keepalive", |parser| address::keepalive(wire, parser)));
        });
    }
    if let Some(bind) = &cluster.upstream_bind_config {
        parser.at("upstream_bind_config", |parser| bind_config(bind, &mut sockets, parser));
    }
    sockets
}

fn bind_config(bind: &BindConfig, sockets: &mut Sockets, parser: &mut Parser) {
    parser.unsupported("freebind", bind.freebind == Some(true));
    parser.unsupported("additional_source_addresses", !bind.additional_source_addresses.is_empty());
    parser.unsupported("local_address_selector", bind.local_address_selector.is_some());
    parser.unsupported("validate_network_namespaces", bind.validate_network_namespaces);
    let source = bind.source_address.as_ref();
    sockets.source_addresses.extend(source.and_then(|wire| parser.at("source_address", |parser| address::source(wire, parser))));
    let more = parser.each("extra_source_addresses", &bind.extra_source_addresses, |extra, parser| {
        parser.unsupported("socket_options", extra.socket_options.is_some());
        let wire = parser.required("address", extra.address.as_ref())?;
        parser.at("address", |parser| address::source(wire, parser))
    });
    if bind.source_address.is_none() && !more.is_empty() {
        parser.refuse_at::<()>("source_address", "required beside extra_source_addresses");
    }
    sockets.source_addresses.extend(more);
    sockets.socket_options = parser.each("socket_options", &bind.socket_options, address::socket_option);
}
