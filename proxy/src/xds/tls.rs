//! TLS contexts to `ServerTls` and `ClientTls`.
//!
//! Nothing here is ignored: whatever a field would have decided about who may connect, it decides, or it refuses the context.

use std::sync::Arc;

use xds_proto::any;
use xds_proto::envoy::config::core::v3::transport_socket::ConfigType;
use xds_proto::envoy::config::core::v3::{TransportSocket, WatchedDirectory};
use xds_proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use xds_proto::envoy::extensions::transport_sockets::tls::v3 as wire;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::downstream_tls_context::{OcspStaplePolicy, SessionTicketKeysType};
use xds_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;

use crate::config::identity::{CertificateSource, ClientTls, ServerTls, TlsVersion, Trust};
use crate::xds::invalid::{Parser, StaticSecret};

mod certificate;
mod files;
mod spiffe;

pub use certificate::secret;
pub use files::folders;

/// As Envoy for servers, and for clients the same: TLS 1.0 and 1.1 are not spoken at all (RFC 8996).
const MIN_VERSION: TlsVersion = TlsVersion::Tls12;
/// As Envoy: the newest that there is.
const MAX_VERSION: TlsVersion = TlsVersion::Tls13;
/// RFC 6066: a DNS name.
const LONGEST_SNI: usize = 255;

/// TLS of a listener's chain; `None` inside is plain text.
pub fn server(socket: &TransportSocket, parser: &mut Parser) -> Option<Option<Arc<ServerTls>>> {
    let Some(ConfigType::TypedConfig(config)) = &socket.config_type else {
        return parser.refuse_at("typed_config", "required");
    };
    parser.at("typed_config", |parser| {
        if any::is::<RawBuffer>(config) {
            return Some(None);
        }
        if any::is::<wire::DownstreamTlsContext>(config) {
            let context = parser.unpack(config)?;
            return downstream(&context, parser).map(|tls| Some(Arc::new(tls)));
        }
        parser.refuse_type("transport socket", config, "DownstreamTlsContext, RawBuffer")
    })
}

/// TLS to a cluster; `None` inside is plain text.
pub fn client(socket: &TransportSocket, parser: &mut Parser) -> Option<Option<Arc<ClientTls>>> {
    let Some(ConfigType::TypedConfig(config)) = &socket.config_type else {
        return parser.refuse_at("typed_config", "required");
    };
    parser.at("typed_config", |parser| {
        if any::is::<RawBuffer>(config) {
            return Some(None);
        }
        if any::is::<wire::UpstreamTlsContext>(config) {
            let context = parser.unpack(config)?;
            return upstream(&context, parser).map(|tls| Some(Arc::new(tls)));
        }
        parser.refuse_type("transport socket", config, "UpstreamTlsContext, RawBuffer")
    })
}

fn downstream(context: &wire::DownstreamTlsContext, parser: &mut Parser) -> Option<ServerTls> {
    parser.unsupported("require_sni", context.require_sni == Some(true));
    parser.unsupported("full_scan_certs_on_sni_mismatch", context.full_scan_certs_on_sni_mismatch == Some(true));
    parser.unsupported("prefer_client_ciphers", context.prefer_client_ciphers);
    parser.unsupported("session_timeout", context.session_timeout.is_some());
    // Tickets are off and sessions are not kept, whatever is asked: resumption never skips a check of the client.
    parser
        .unsupported("session_ticket_keys", matches!(context.session_ticket_keys_type, Some(SessionTicketKeysType::SessionTicketKeys(_))));
    parser.unsupported(
        "session_ticket_keys_sds_secret_config",
        matches!(context.session_ticket_keys_type, Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(_))),
    );
    match parser.choice("ocsp_staple_policy", context.ocsp_staple_policy) {
        None | Some(OcspStaplePolicy::LenientStapling) => {}
        Some(OcspStaplePolicy::StrictStapling | OcspStaplePolicy::MustStaple) => {
            parser.refuse_at::<()>("ocsp_staple_policy", "only LENIENT_STAPLING is supported");
        }
    }
    let common = parser.required("common_tls_context", context.common_tls_context.as_ref())?;
    let require_client_certificate = context.require_client_certificate.unwrap_or(false);
    parser.at("common_tls_context", |parser| {
        let parts = parts(common, parser)?;
        let named = common.tls_certificates.len() + common.tls_certificate_sds_secret_configs.len();
        if named == 0 && !parser.has_faults() {
            return parser.refuse_at("tls_certificates", "a server needs a certificate");
        }
        if parts.certificates.len() < named {
            // One is refused, or has not come yet.
            return None;
        }
        if require_client_certificate && parts.validation.is_none() {
            let problem = "require_client_certificate needs a trusted_ca to check it by";
            return parser.refuse_at("validation_context", problem);
        }
        Some(ServerTls {
            certificates: parts.certificates,
            validation: parts.validation,
            require_client_certificate,
            alpn: parts.alpn,
            min_version: parts.min_version,
            max_version: parts.max_version,
        })
    })
}

fn upstream(context: &wire::UpstreamTlsContext, parser: &mut Parser) -> Option<ClientTls> {
    parser.unsupported("auto_sni_san_validation", context.auto_sni_san_validation);
    parser.unsupported("allow_renegotiation", context.allow_renegotiation);
    // Sessions to servers are resumed as rustls sees fit; how many are kept changes no decision.
    parser.ignored("max_session_keys", context.max_session_keys.is_some(), "sessions are kept as the TLS library does");
    parser.unsupported("enforce_rsa_key_usage", context.enforce_rsa_key_usage == Some(false));
    if context.sni.len() > LONGEST_SNI {
        parser.refuse_at::<()>("sni", "longer than 255 bytes");
    }
    let default = wire::CommonTlsContext::default();
    let common = context.common_tls_context.as_ref().unwrap_or(&default);
    parser.at("common_tls_context", |parser| {
        let parts = parts(common, parser)?;
        if parts.certificates.len() > 1 {
            return parser.refuse_at("tls_certificates", "a client shows one certificate at most");
        }
        Some(ClientTls {
            certificate: parts.certificates.into_iter().next(),
            validation: parts.validation,
            sni: (!context.sni.is_empty()).then(|| context.sni.clone()),
            auto_host_sni: context.auto_host_sni,
            alpn: parts.alpn,
            min_version: parts.min_version,
            max_version: parts.max_version,
        })
    })
}

/// What both sides share.
struct Parts {
    certificates: Vec<CertificateSource>,
    validation: Option<Trust>,
    alpn: Vec<Vec<u8>>,
    min_version: TlsVersion,
    max_version: TlsVersion,
}

fn parts(context: &wire::CommonTlsContext, parser: &mut Parser) -> Option<Parts> {
    parser.unsupported("tls_certificate_provider_instance", context.tls_certificate_provider_instance.is_some());
    let versions = versions(context.tls_params.as_ref(), parser);
    let mut certificates = parser.each("tls_certificates", &context.tls_certificates, |certificate, parser| {
        read_once(certificate.watched_directory.as_ref(), parser);
        certificate::pem(certificate, parser).map(CertificateSource::new)
    });
    let named = &context.tls_certificate_sds_secret_configs;
    certificates.extend(parser.each("tls_certificate_sds_secret_configs", named, certificate::named_certificate));
    let alpn = parser.each("alpn_protocols", &context.alpn_protocols, |protocol, parser| match protocol.len() {
        1..=255 => Some(protocol.as_bytes().to_vec()),
        length => parser.refuse(format_args!("{length} bytes are not between 1 and 255")),
    });
    let validation = match &context.validation_context_type {
        None => Some(None),
        Some(ValidationContextType::ValidationContext(context)) => parser.at("validation_context", |parser| {
            read_once(context.watched_directory.as_ref(), parser);
            certificate::validation(context, parser).map(|validation| validation.map(Trust::from))
        }),
        Some(ValidationContextType::ValidationContextSdsSecretConfig(config)) => parser
            .at("validation_context_sds_secret_config", |parser| certificate::named_validation(config, parser).map(Trust::of).map(Some)),
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            parser.at("combined_validation_context", |parser| certificate::combined(combined, parser).map(Some))
        }
    };
    let (min_version, max_version) = versions?;
    Some(Parts { certificates, validation: validation?, alpn, min_version, max_version })
}

/// As Envoy: what is written in place is read with it, and never again.
fn read_once(folder: Option<&WatchedDirectory>, parser: &mut Parser) {
    parser.ignored("watched_directory", folder.is_some(), "only files of secrets that are in a file are watched");
}

/// A secret of the bootstrap file, by its name.
pub fn static_secret(secret: &wire::Secret, parser: &mut Parser) -> Option<(String, StaticSecret)> {
    match &secret.r#type {
        Some(Type::TlsCertificate(certificate)) => {
            parser.at("tls_certificate", |parser| read_once(certificate.watched_directory.as_ref(), parser));
        }
        Some(Type::ValidationContext(context)) => {
            parser.at("validation_context", |parser| read_once(context.watched_directory.as_ref(), parser));
        }
        Some(Type::SessionTicketKeys(_) | Type::GenericSecret(_)) | None => {}
    }
    certificate::secret(secret, parser)
}

fn versions(params: Option<&wire::TlsParameters>, parser: &mut Parser) -> Option<(TlsVersion, TlsVersion)> {
    let Some(params) = params else { return Some((MIN_VERSION, MAX_VERSION)) };
    parser.at("tls_params", |parser| {
        let chosen_by_library = "not supported: the TLS library's own list is used, which has only strong ones";
        for (field, is_set) in [
            ("cipher_suites", !params.cipher_suites.is_empty()),
            ("ecdh_curves", !params.ecdh_curves.is_empty()),
            ("signature_algorithms", !params.signature_algorithms.is_empty()),
            ("compliance_policies", !params.compliance_policies.is_empty()),
        ] {
            if is_set {
                parser.refuse_at::<()>(field, chosen_by_library);
            }
        }
        let min = version("tls_minimum_protocol_version", params.tls_minimum_protocol_version, MIN_VERSION, parser);
        let max = version("tls_maximum_protocol_version", params.tls_maximum_protocol_version, MAX_VERSION, parser);
        let (min, max) = (min?, max?);
        if min > max {
            return parser.refuse_at("tls_minimum_protocol_version", "above tls_maximum_protocol_version");
        }
        Some((min, max))
    })
}

fn version(field: &'static str, wire: i32, default: TlsVersion, parser: &mut Parser) -> Option<TlsVersion> {
    match parser.choice(field, wire)? {
        TlsProtocol::TlsAuto => Some(default),
        TlsProtocol::TlSv12 => Some(TlsVersion::Tls12),
        TlsProtocol::TlSv13 => Some(TlsVersion::Tls13),
        TlsProtocol::TlSv10 | TlsProtocol::TlSv11 => parser.refuse_at(field, "not supported: TLS 1.0 and 1.1 are withdrawn (RFC 8996)"),
    }
}

#[cfg(test)]
mod tests;
