//! Who the client is and what it asked for: forwarded addresses, request ID, scheme, path and host.

use xds_proto::any;
use xds_proto::envoy::config::core::v3::SchemeHeaderTransformation;
use xds_proto::envoy::config::core::v3::scheme_header_transformation::Transformation;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3 as wire;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails, ForwardClientCertFormat, PathWithEscapedSlashesAction, SetCurrentClientCertDetails, StripPortMode,
};
use xds_proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;

use crate::config::http::{
    ClientCert, ClientCertParts, EscapedSlashes, Forwarded, HostSettings, PathSettings, RequestId, SchemeSetting, StripPort,
};
use crate::xds::address;
use crate::xds::http::optional_value;
use crate::xds::invalid::Parser;

/// `X-Forwarded-For` and who is internal.
pub fn forwarded(manager: &wire::HttpConnectionManager, parser: &mut Parser) -> Option<Forwarded> {
    let internal = manager.internal_address_config.as_ref();
    let internal_ranges = internal
        .map(|internal| parser.at("internal_address_config", |parser| parser.each("cidr_ranges", &internal.cidr_ranges, address::cidr)));
    Some(Forwarded {
        use_remote_address: manager.use_remote_address.unwrap_or(false),
        xff_trusted_hops: manager.xff_num_trusted_hops,
        skip_xff_append: manager.skip_xff_append,
        via: optional_value("via", &manager.via, parser)?,
        // Envoy 1.40: nobody is internal unless the operator says who.
        internal_ranges: internal_ranges.unwrap_or_default(),
        unix_is_internal: internal.is_some_and(|internal| internal.unix_sockets),
        append_port: manager.append_x_forwarded_port,
    })
}

/// `x-forwarded-client-cert`.
pub fn client_cert(manager: &wire::HttpConnectionManager, parser: &mut Parser) -> Option<ClientCert> {
    let details = parser.choice("forward_client_cert_details", manager.forward_client_cert_details);
    let told = manager.set_current_client_cert_details.as_ref();
    let parts = told.map_or(Some(ClientCertParts::default()), |told| {
        parser.at("set_current_client_cert_details", |parser| client_cert_parts(told, parser))
    });
    let (details, parts) = (details?, parts?);
    let tells = matches!(details, ForwardClientCertDetails::AppendForward | ForwardClientCertDetails::SanitizeSet);
    let unused = "it counts with APPEND_FORWARD and SANITIZE_SET only";
    parser.ignored("set_current_client_cert_details", told.is_some() && !tells, unused);
    Some(match details {
        ForwardClientCertDetails::Sanitize => ClientCert::Sanitize,
        ForwardClientCertDetails::AlwaysForwardOnly => ClientCert::AlwaysForward,
        ForwardClientCertDetails::ForwardOnly => ClientCert::Forward,
        ForwardClientCertDetails::AppendForward => ClientCert::Append(parts),
        ForwardClientCertDetails::SanitizeSet => ClientCert::Set(parts),
    })
}

fn client_cert_parts(told: &SetCurrentClientCertDetails, parser: &mut Parser) -> Option<ClientCertParts> {
    match parser.choice("format", told.format)? {
        ForwardClientCertFormat::Text => {}
        ForwardClientCertFormat::Json => return parser.refuse_at("format", "only TEXT is supported"),
    }
    Some(ClientCertParts {
        certificate: told.cert,
        chain: told.chain,
        subject: told.subject.unwrap_or(false),
        uris: told.uri,
        hosts: told.dns,
        issuer: told.issuer,
    })
}

/// `x-request-id`.
pub fn request_id(manager: &wire::HttpConnectionManager, parser: &mut Parser) -> Option<RequestId> {
    let extension = manager.request_id_extension.as_ref().and_then(|extension| extension.typed_config.as_ref());
    let uuid = match extension {
        None => UuidRequestIdConfig::default(),
        Some(config) => parser.at("request_id_extension", |parser| {
            parser.at("typed_config", |parser| {
                if any::is::<UuidRequestIdConfig>(config) {
                    return parser.unpack(config);
                }
                parser.refuse_type("request ID extension", config, "UuidRequestIdConfig")
            })
        })?,
    };
    if uuid.use_request_id_for_trace_sampling == Some(false) {
        parser.at("request_id_extension", |parser| {
            parser.at("typed_config", |parser| parser.unsupported("use_request_id_for_trace_sampling", true));
        });
    }
    Some(RequestId {
        generate: manager.generate_request_id.unwrap_or(true),
        preserve_external: manager.preserve_external_request_id,
        in_response: manager.always_set_request_id_in_response,
        pack_trace_reason: uuid.pack_trace_reason.unwrap_or(true),
    })
}

/// The scheme that requests are given.
pub fn scheme(scheme: Option<&SchemeHeaderTransformation>, parser: &mut Parser) -> Option<SchemeSetting> {
    let Some(scheme) = scheme else { return Some(SchemeSetting::Keep) };
    parser.at("scheme_header_transformation", |parser| match &scheme.transformation {
        Some(Transformation::SchemeToOverwrite(_)) if scheme.match_upstream => {
            parser.refuse("scheme_to_overwrite and match_upstream exclude each other")
        }
        None if scheme.match_upstream => Some(SchemeSetting::MatchUpstream),
        None => Some(SchemeSetting::Keep),
        Some(Transformation::SchemeToOverwrite(name)) => match name.as_str() {
            "http" => Some(SchemeSetting::Http),
            "https" => Some(SchemeSetting::Https),
            other => parser.refuse_at("scheme_to_overwrite", format_args!("{other:?} is neither http nor https")),
        },
    })
}

/// What is done to paths. As Envoy: nothing, unless asked for.
pub fn path(manager: &wire::HttpConnectionManager, parser: &mut Parser) -> Option<PathSettings> {
    use PathWithEscapedSlashesAction as Action;
    let action = parser.choice("path_with_escaped_slashes_action", manager.path_with_escaped_slashes_action);
    let escaped_slashes = match action? {
        Action::ImplementationSpecificDefault | Action::KeepUnchanged => EscapedSlashes::Keep,
        Action::RejectRequest => EscapedSlashes::Reject,
        Action::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
        Action::UnescapeAndForward => EscapedSlashes::UnescapeAndForward,
    };
    Some(PathSettings { normalize: manager.normalize_path.unwrap_or(false), merge_slashes: manager.merge_slashes, escaped_slashes })
}

/// What is done to the host.
pub fn host(manager: &wire::HttpConnectionManager, parser: &mut Parser) -> Option<HostSettings> {
    let any = matches!(manager.strip_port_mode, Some(StripPortMode::StripAnyHostPort(true)));
    let strip_port = match (manager.strip_matching_host_port, any) {
        (true, true) => {
            let problem = "strip_matching_host_port and strip_any_host_port exclude each other";
            return parser.refuse_at("strip_any_host_port", problem);
        }
        (true, false) => StripPort::Matching,
        (false, true) => StripPort::Any,
        (false, false) => StripPort::Never,
    };
    Some(HostSettings { strip_port, strip_trailing_dot: manager.strip_trailing_host_dot })
}
