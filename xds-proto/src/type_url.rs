//! The type URLs of the messages that travel in an `Any`: resources, filters and their parts.
//!
//! They are for making messages and for subscribing. To look into an `Any`, use [`crate::any`]: the domain before the
//! name may differ.

// The resources of xDS, and what else the discovery services carry.
/// [`Listener`](crate::envoy::config::listener::v3::Listener).
pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// [`RouteConfiguration`](crate::envoy::config::route::v3::RouteConfiguration).
pub const ROUTE_CONFIGURATION: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
/// [`ScopedRouteConfiguration`](crate::envoy::config::route::v3::ScopedRouteConfiguration).
pub const SCOPED_ROUTE_CONFIGURATION: &str = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration";
/// [`VirtualHost`](crate::envoy::config::route::v3::VirtualHost).
pub const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
/// [`Cluster`](crate::envoy::config::cluster::v3::Cluster).
pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// [`ClusterLoadAssignment`](crate::envoy::config::endpoint::v3::ClusterLoadAssignment).
pub const CLUSTER_LOAD_ASSIGNMENT: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// [`LbEndpoint`](crate::envoy::config::endpoint::v3::LbEndpoint).
pub const LB_ENDPOINT: &str = "type.googleapis.com/envoy.config.endpoint.v3.LbEndpoint";
/// [`Secret`](crate::envoy::extensions::transport_sockets::tls::v3::Secret).
pub const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/// [`Bootstrap`](crate::envoy::config::bootstrap::v3::Bootstrap).
pub const BOOTSTRAP: &str = "type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap";
/// [`NameTable`](crate::istio::networking::nds::v1::NameTable), which is Istio's.
pub const NAME_TABLE: &str = "type.googleapis.com/istio.networking.nds.v1.NameTable";
/// [`TypedExtensionConfig`](crate::envoy::config::core::v3::TypedExtensionConfig).
pub const EXTENSION_CONFIG: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

// Network filters.
/// [`HttpConnectionManager`](crate::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager).
pub const HTTP_CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
/// [`TcpProxy`](crate::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy).
pub const TCP_PROXY: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
/// [`RBAC`](crate::envoy::extensions::filters::network::rbac::v3::Rbac).
pub const NETWORK_RBAC: &str = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC";

// HTTP filters.
/// [`Router`](crate::envoy::extensions::filters::http::router::v3::Router).
pub const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
/// [`RBAC`](crate::envoy::extensions::filters::http::rbac::v3::Rbac).
pub const HTTP_RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";
/// [`RBACPerRoute`](crate::envoy::extensions::filters::http::rbac::v3::RbacPerRoute).
pub const HTTP_RBAC_PER_ROUTE: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute";
/// [`JwtAuthentication`](crate::envoy::extensions::filters::http::jwt_authn::v3::JwtAuthentication).
pub const JWT_AUTHN: &str = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
/// [`ExtAuthz`](crate::envoy::extensions::filters::http::ext_authz::v3::ExtAuthz).
pub const EXT_AUTHZ: &str = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";

// Listener filters.
/// [`TlsInspector`](crate::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector).
pub const TLS_INSPECTOR: &str = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
/// [`HttpInspector`](crate::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector).
pub const HTTP_INSPECTOR: &str = "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
/// [`OriginalDst`](crate::envoy::extensions::filters::listener::original_dst::v3::OriginalDst).
pub const ORIGINAL_DST: &str = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
/// [`OriginalSrc`](crate::envoy::extensions::filters::listener::original_src::v3::OriginalSrc).
pub const ORIGINAL_SRC: &str = "type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc";
/// [`ProxyProtocol`](crate::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol).
pub const PROXY_PROTOCOL: &str = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";

// Transport sockets.
/// [`UpstreamTlsContext`](crate::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext).
pub const UPSTREAM_TLS_CONTEXT: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
/// [`SPIFFECertValidatorConfig`](crate::envoy::extensions::transport_sockets::tls::v3::SpiffeCertValidatorConfig).
pub const SPIFFE_VALIDATOR: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
/// [`DownstreamTlsContext`](crate::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext).
pub const DOWNSTREAM_TLS_CONTEXT: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
/// [`RawBuffer`](crate::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer).
pub const RAW_BUFFER: &str = "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
/// [`ProxyProtocolUpstreamTransport`](crate::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport).
pub const UPSTREAM_PROXY_PROTOCOL: &str =
    "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";

// Cluster options and balancing policies.
/// [`HttpProtocolOptions`](crate::envoy::extensions::upstreams::http::v3::HttpProtocolOptions).
pub const HTTP_PROTOCOL_OPTIONS: &str = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// [`RoundRobin`](crate::envoy::extensions::load_balancing_policies::round_robin::v3::RoundRobin).
pub const ROUND_ROBIN: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin";
/// [`LeastRequest`](crate::envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest).
pub const LEAST_REQUEST: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
/// [`Random`](crate::envoy::extensions::load_balancing_policies::random::v3::Random).
pub const RANDOM: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies.random.v3.Random";
/// [`RingHash`](crate::envoy::extensions::load_balancing_policies::ring_hash::v3::RingHash).
pub const RING_HASH: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash";
/// [`Maglev`](crate::envoy::extensions::load_balancing_policies::maglev::v3::Maglev).
pub const MAGLEV: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev";
/// [`PickFirst`](crate::envoy::extensions::load_balancing_policies::pick_first::v3::PickFirst).
pub const PICK_FIRST: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst";
/// [`WrrLocality`](crate::envoy::extensions::load_balancing_policies::wrr_locality::v3::WrrLocality).
pub const WRR_LOCALITY: &str = "type.googleapis.com/envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality";
/// [`CaresDnsResolverConfig`](crate::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig).
pub const CARES_DNS_RESOLVER: &str = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
/// [`GetAddrInfoDnsResolverConfig`](crate::envoy::extensions::network::dns_resolver::getaddrinfo::v3::GetAddrInfoDnsResolverConfig).
pub const GETADDRINFO_DNS_RESOLVER: &str =
    "type.googleapis.com/envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig";

// Access logs, formatters and tracers.
/// [`FileAccessLog`](crate::envoy::extensions::access_loggers::file::v3::FileAccessLog).
pub const FILE_ACCESS_LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
/// [`StdoutAccessLog`](crate::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog).
pub const STDOUT_ACCESS_LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
/// [`StderrAccessLog`](crate::envoy::extensions::access_loggers::stream::v3::StderrAccessLog).
pub const STDERR_ACCESS_LOG: &str = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog";
/// [`ReqWithoutQuery`](crate::envoy::extensions::formatter::req_without_query::v3::ReqWithoutQuery).
pub const FORMATTER_REQ_WITHOUT_QUERY: &str = "type.googleapis.com/envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery";
/// [`Metadata`](crate::envoy::extensions::formatter::metadata::v3::Metadata).
pub const FORMATTER_METADATA: &str = "type.googleapis.com/envoy.extensions.formatter.metadata.v3.Metadata";
/// [`OpenTelemetryConfig`](crate::envoy::config::trace::v3::OpenTelemetryConfig).
pub const OPEN_TELEMETRY_TRACER: &str = "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig";

// Parts of the HTTP connection manager and of routes.
/// [`UuidRequestIdConfig`](crate::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig).
pub const UUID_REQUEST_ID: &str = "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig";
/// [`PreserveCaseFormatterConfig`](crate::envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig).
pub const PRESERVE_CASE: &str = "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig";
/// [`XffConfig`](crate::envoy::extensions::http::original_ip_detection::xff::v3::XffConfig).
pub const ORIGINAL_IP_XFF: &str = "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig";
/// [`CustomHeaderConfig`](crate::envoy::extensions::http::original_ip_detection::custom_header::v3::CustomHeaderConfig).
pub const ORIGINAL_IP_CUSTOM_HEADER: &str =
    "type.googleapis.com/envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig";
/// [`PreviousHostsPredicate`](crate::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate).
pub const PREVIOUS_HOSTS: &str = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
/// [`OmitCanaryHostsPredicate`](crate::envoy::extensions::retry::host::omit_canary_hosts::v3::OmitCanaryHostsPredicate).
pub const OMIT_CANARY_HOSTS: &str = "type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate";
/// [`PreviousPrioritiesConfig`](crate::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig).
pub const PREVIOUS_PRIORITIES: &str = "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig";
/// [`AllowListedRoutesConfig`](crate::envoy::extensions::internal_redirect::allow_listed_routes::v3::AllowListedRoutesConfig).
pub const ALLOW_LISTED_ROUTES: &str =
    "type.googleapis.com/envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig";
/// [`PreviousRoutesConfig`](crate::envoy::extensions::internal_redirect::previous_routes::v3::PreviousRoutesConfig).
pub const PREVIOUS_ROUTES: &str = "type.googleapis.com/envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig";
/// [`SafeCrossSchemeConfig`](crate::envoy::extensions::internal_redirect::safe_cross_scheme::v3::SafeCrossSchemeConfig).
pub const SAFE_CROSS_SCHEME: &str = "type.googleapis.com/envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig";
/// `UriTemplateMatchConfig`.
pub const URI_TEMPLATE_MATCH: &str = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
/// [`UriTemplateRewriteConfig`](crate::envoy::extensions::path::rewrite::uri_template::v3::UriTemplateRewriteConfig).
pub const URI_TEMPLATE_REWRITE: &str = "type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";
/// [`FilterConfig`](crate::envoy::config::route::v3::FilterConfig).
pub const FILTER_CONFIG: &str = "type.googleapis.com/envoy.config.route.v3.FilterConfig";

// Overload manager.
/// [`FixedHeapConfig`](crate::envoy::extensions::resource_monitors::fixed_heap::v3::FixedHeapConfig).
pub const FIXED_HEAP: &str = "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig";
/// [`DownstreamConnectionsConfig`](crate::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig).
pub const DOWNSTREAM_CONNECTIONS: &str =
    "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_url_names_a_message_of_the_slice() {
        let pool = crate::descriptor_pool().unwrap();
        for type_url in [
            LISTENER,
            ROUTE_CONFIGURATION,
            SCOPED_ROUTE_CONFIGURATION,
            VIRTUAL_HOST,
            CLUSTER,
            CLUSTER_LOAD_ASSIGNMENT,
            LB_ENDPOINT,
            SECRET,
            BOOTSTRAP,
            NAME_TABLE,
            EXTENSION_CONFIG,
            HTTP_CONNECTION_MANAGER,
            TCP_PROXY,
            ROUTER,
            TLS_INSPECTOR,
            HTTP_INSPECTOR,
            ORIGINAL_DST,
            ORIGINAL_SRC,
            PROXY_PROTOCOL,
            UPSTREAM_TLS_CONTEXT,
            DOWNSTREAM_TLS_CONTEXT,
            RAW_BUFFER,
            UPSTREAM_PROXY_PROTOCOL,
            HTTP_PROTOCOL_OPTIONS,
            ROUND_ROBIN,
            LEAST_REQUEST,
            RANDOM,
            RING_HASH,
            MAGLEV,
            PICK_FIRST,
            WRR_LOCALITY,
            CARES_DNS_RESOLVER,
            GETADDRINFO_DNS_RESOLVER,
            FILE_ACCESS_LOG,
            STDOUT_ACCESS_LOG,
            STDERR_ACCESS_LOG,
            FORMATTER_REQ_WITHOUT_QUERY,
            FORMATTER_METADATA,
            OPEN_TELEMETRY_TRACER,
            UUID_REQUEST_ID,
            PRESERVE_CASE,
            ORIGINAL_IP_XFF,
            ORIGINAL_IP_CUSTOM_HEADER,
            PREVIOUS_HOSTS,
            OMIT_CANARY_HOSTS,
            PREVIOUS_PRIORITIES,
            ALLOW_LISTED_ROUTES,
            PREVIOUS_ROUTES,
            SAFE_CROSS_SCHEME,
            URI_TEMPLATE_MATCH,
            URI_TEMPLATE_REWRITE,
            FILTER_CONFIG,
            FIXED_HEAP,
            DOWNSTREAM_CONNECTIONS,
        ] {
            let name = crate::any::type_name(type_url).unwrap();
            assert!(pool.get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_type_url_is_the_one_of_the_generated_message() {
        use prost::Name as _;
        assert_eq!(crate::envoy::config::listener::v3::Listener::type_url(), LISTENER);
        assert_eq!(crate::envoy::extensions::filters::http::router::v3::Router::type_url(), ROUTER);
    }
}
