//! Mutual TLS between sidecars: whose certificate is shown, and who is accepted.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use xds_proto::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use xds_proto::envoy::config::core::v3::{Metadata, TransportSocket, transport_socket};
use xds_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use xds_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher, TlsParameters,
    UpstreamTlsContext,
};
use xds_proto::envoy::r#type::matcher::v3::StringMatcher;
use xds_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;

use crate::model::service::Protocol;
use crate::translate::wire;

/// The proxy's own certificate: its agent's, or in Envoy a secret of the bootstrap file.
const OWN_CERTIFICATE: &str = "default";
/// Whom the mesh trusts.
const TRUST: &str = "ROOTCA";
/// What clients in the mesh offer by ALPN: so they are told from others that speak TLS.
pub(super) const MARK: &str = "ninon";
/// Where an endpoint says how it is reached.
const MATCHED: &str = "envoy.transport_socket_match";
/// What it says there.
const KEY: &str = "tlsMode";
const TLS: &str = "envoy.transport_sockets.tls";

/// The SPIFFE ID of an account (`ns/NAMESPACE/sa/ACCOUNT`).
fn spiffe_id(trust_domain: &str, account: &str) -> String {
    format!("spiffe://{trust_domain}/{account}")
}

/// Of a listener's chain: whoever belongs to the trust domain is accepted.
pub(super) fn downstream(trust_domain: &str, protocol: Protocol) -> TransportSocket {
    let anybody = StringMatcher { match_pattern: Some(MatchPattern::Prefix(spiffe_id(trust_domain, ""))), ..StringMatcher::default() };
    let alpn: &[&str] = if protocol.is_http() { &["h2", "http/1.1"] } else { &[] };
    let context = DownstreamTlsContext {
        common_tls_context: Some(common(vec![anybody], alpn)),
        require_client_certificate: Some(true),
        ..DownstreamTlsContext::default()
    };
    socket(wire::pack(&context))
}

/// To endpoints that are marked: one of these accounts has to be there.
pub(super) fn upstream<'a>(
    trust_domain: &str,
    accounts: impl Iterator<Item = &'a str>,
    protocol: Protocol,
    upgrades: bool,
) -> TransportSocketMatch {
    let mut names: Vec<StringMatcher> = accounts.map(|account| wire::exactly(&spiffe_id(trust_domain, account))).collect();
    if names.is_empty() {
        // Without names anybody would be accepted; nobody has this one.
        names.push(wire::exactly(&spiffe_id(trust_domain, "")));
    }
    let alpn: &[&str] = match protocol {
        Protocol::Http if upgrades => &[MARK, "h2", "http/1.1"],
        Protocol::Http => &[MARK, "http/1.1"],
        Protocol::Http2 => &[MARK, "h2"],
        Protocol::Tcp | Protocol::Tls => &[MARK],
    };
    let context = UpstreamTlsContext { common_tls_context: Some(common(names, alpn)), ..UpstreamTlsContext::default() };
    TransportSocketMatch { name: "mutual".to_owned(), r#match: Some(marked()), transport_socket: Some(socket(wire::pack(&context))) }
}

/// What marks an endpoint that is reached by mutual TLS.
pub(super) fn mark() -> Metadata {
    Metadata { filter_metadata: BTreeMap::from([(MATCHED.to_owned(), marked())]), ..Metadata::default() }
}

fn marked() -> Struct {
    Struct { fields: BTreeMap::from([(KEY.to_owned(), Value { kind: Some(Kind::StringValue("mutual".to_owned())) })]) }
}

/// TLS 1.3 alone: both ends are of the mesh.
fn common(names: Vec<StringMatcher>, alpn: &[&str]) -> CommonTlsContext {
    let accepted = names.into_iter().map(|matcher| SubjectAltNameMatcher {
        san_type: i32::from(SanType::Uri),
        matcher: Some(matcher),
        ..SubjectAltNameMatcher::default()
    });
    let names =
        CertificateValidationContext { match_typed_subject_alt_names: accepted.collect(), ..CertificateValidationContext::default() };
    let trust = SdsSecretConfig { name: TRUST.to_owned(), sds_config: Some(wire::ads()) };
    let validation =
        CombinedCertificateValidationContext { default_validation_context: Some(names), validation_context_sds_secret_config: Some(trust) };
    // Envoy's clients speak nothing newer than 1.2 unless they are told.
    let newest = i32::from(TlsProtocol::TlSv13);
    let versions = TlsParameters { tls_minimum_protocol_version: newest, tls_maximum_protocol_version: newest, ..TlsParameters::default() };
    CommonTlsContext {
        tls_params: Some(versions),
        tls_certificate_sds_secret_configs: vec![SdsSecretConfig { name: OWN_CERTIFICATE.to_owned(), sds_config: None }],
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(validation)),
        alpn_protocols: alpn.iter().map(|protocol| (*protocol).to_owned()).collect(),
        ..CommonTlsContext::default()
    }
}

fn socket(context: prost_types::Any) -> TransportSocket {
    TransportSocket { name: TLS.to_owned(), config_type: Some(transport_socket::ConfigType::TypedConfig(context)) }
}
