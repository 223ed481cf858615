//! Certificates, keys and what peers must show, written in place, read from files, or static secrets by name.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use xds_proto::envoy::config::core::v3::DataSource;
use xds_proto::envoy::config::core::v3::data_source::Specifier;
use xds_proto::envoy::extensions::transport_sockets::tls::v3 as wire;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::certificate_validation_context::TrustChainVerification;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::CombinedCertificateValidationContext;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;

use crate::config::current::Current;
use crate::config::identity::{CertificatePem, CertificateSource, SanKind, SanMatch, Trust, Validation};
use crate::xds::invalid::{Parser, StaticSecret};
use crate::xds::resource::Kind;
use crate::xds::tls::spiffe;
use crate::xds::{config_source, data_source, matcher};

/// A secret, by its name.
pub fn secret(secret: &wire::Secret, parser: &mut Parser) -> Option<(String, StaticSecret)> {
    if secret.name.is_empty() {
        return parser.refuse_at("name", "required");
    }
    let parsed = match secret.r#type.as_ref() {
        Some(Type::TlsCertificate(certificate)) => {
            parser.at("tls_certificate", |parser| pem(certificate, parser)).map(|pem| StaticSecret::Certificate(pem.into()))
        }
        Some(Type::ValidationContext(context)) => parser.at("validation_context", |parser| {
            let validation = validation(context, parser)?;
            validation.map(|validation| StaticSecret::Validation(validation.into())).or_else(|| parser.refuse("checks nothing"))
        }),
        Some(Type::SessionTicketKeys(_)) => parser.refuse_at("session_ticket_keys", "not supported"),
        Some(Type::GenericSecret(_)) => parser.refuse_at("generic_secret", "not supported"),
        None => parser.refuse("one of tls_certificate, validation_context must be set"),
    };
    Some((secret.name.clone(), parsed?))
}

/// A certificate chain and its key.
pub(super) fn pem(certificate: &wire::TlsCertificate, parser: &mut Parser) -> Option<CertificatePem> {
    parser.unsupported("pkcs12", certificate.pkcs12.is_some());
    parser.unsupported("password", certificate.password.is_some());
    parser.unsupported("ocsp_staple", certificate.ocsp_staple.is_some());
    parser.unsupported("signed_certificate_timestamp", !certificate.signed_certificate_timestamp.is_empty());
    parser.unsupported("tls_params", certificate.tls_params.is_some());
    let chain = source("certificate_chain", certificate.certificate_chain.as_ref(), parser, certificates);
    let key = source("private_key", certificate.private_key.as_ref(), parser, |pem, parser| match PrivateKeyDer::from_pem_slice(pem) {
        Ok(_) => Some(()),
        Err(_) => parser.refuse("holds no private key in PEM (PKCS#8, SEC1 or PKCS#1, not encrypted)"),
    });
    let pem = CertificatePem { chain: chain?, key: key?, file: file(certificate.certificate_chain.as_ref()).map(str::to_owned) };
    belong_together(&pem, parser)?;
    Some(pem)
}

/// Whoever serves them finds out as well, but then the server that sent them has been told that they are good.
fn belong_together(pem: &CertificatePem, parser: &mut Parser) -> Option<()> {
    let chain = CertificateDer::pem_slice_iter(&pem.chain).filter_map(Result::ok).collect();
    let key = PrivateKeyDer::from_pem_slice(&pem.key).ok()?;
    let Ok(key) = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key) else {
        return parser.refuse_at("private_key", "not a key that can be used for TLS");
    };
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Some(()),
        Err(Error::InconsistentKeys(_)) => parser.refuse_at("private_key", "does not belong to the first certificate of certificate_chain"),
        Err(error) => parser.refuse_at("certificate_chain", error),
    }
}

fn source(
    field: &'static str,
    wire: Option<&DataSource>,
    parser: &mut Parser,
    check: impl FnOnce(&[u8], &mut Parser) -> Option<()>,
) -> Option<Vec<u8>> {
    let wire = parser.required(field, wire)?;
    parser.at(field, |parser| {
        let bytes = data_source::bytes(wire, parser)?;
        check(&bytes, parser)?;
        Some(bytes.to_vec())
    })
}

/// Where the bytes come from, if from a file.
pub(super) fn file(source: Option<&DataSource>) -> Option<&str> {
    match source?.specifier.as_ref()? {
        Specifier::Filename(path) => Some(path),
        Specifier::InlineBytes(_) | Specifier::InlineString(_) | Specifier::EnvironmentVariable(_) => None,
    }
}

fn certificates(pem: &[u8], parser: &mut Parser) -> Option<()> {
    let mut count = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        if let Err(error) = certificate {
            return parser.refuse(format_args!("not PEM: {error}"));
        }
        count = count.saturating_add(1);
    }
    if count == 0 { parser.refuse("holds no certificate in PEM") } else { Some(()) }
}

pub(super) fn roots(pem: &[u8], parser: &mut Parser) -> Option<()> {
    certificates(pem, parser)?;
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).enumerate() {
        if let Err(error) = RootCertStore::empty().add(certificate) {
            return parser.refuse(format_args!("certificate {index} (from 0): {error}"));
        }
    }
    Some(())
}

/// Whoever checks peers finds out as well, but then the server that sent them has been told that they are good.
pub(super) fn usable(roots: &[u8], lists: &[u8], parser: &mut Parser) -> Option<()> {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(CertificateDer::pem_slice_iter(roots).filter_map(Result::ok));
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(lists).filter_map(Result::ok).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let checks = WebPkiServerVerifier::builder_with_provider(Arc::new(trusted), provider).with_crls(lists).build();
    parser.accept(checks).map(drop)
}

pub(super) fn revocation_lists(pem: &[u8], parser: &mut Parser) -> Option<()> {
    let mut count = 0_usize;
    for list in CertificateRevocationListDer::pem_slice_iter(pem) {
        if let Err(error) = list {
            return parser.refuse(format_args!("not PEM: {error}"));
        }
        count = count.saturating_add(1);
    }
    if count == 0 { parser.refuse("holds no revocation list in PEM") } else { Some(()) }
}

/// What a peer must show; `None` inside where the context checks nothing.
pub(super) fn validation(context: &wire::CertificateValidationContext, parser: &mut Parser) -> Option<Option<Validation>> {
    refuse_unsupported(context, parser);
    let names = &context.match_typed_subject_alt_names;
    if let Some(validator) = &context.custom_validator_config {
        spiffe::beside(context, parser);
        let subject_alt_names = parser.each("match_typed_subject_alt_names", names, subject_alt_name);
        let trust_domains = parser.at("custom_validator_config", |parser| spiffe::trust_domains(validator, parser))?;
        return Some(Some(Validation { subject_alt_names, trust_domains, ..Validation::nobody() }));
    }
    let trusted_ca = match context.trusted_ca.as_ref() {
        None => Some(None),
        Some(_) => source("trusted_ca", context.trusted_ca.as_ref(), parser, roots).map(Some),
    };
    let crl = match context.crl.as_ref() {
        None => Some(None),
        Some(_) => source("crl", context.crl.as_ref(), parser, revocation_lists).map(Some),
    };
    let subject_alt_names = parser.each("match_typed_subject_alt_names", names, subject_alt_name);
    let (trusted_ca, crl) = (trusted_ca?, crl?);
    if trusted_ca.is_none() {
        if !names.is_empty() {
            return parser.refuse_at("match_typed_subject_alt_names", "needs a trusted_ca: names prove nothing without one");
        }
        if crl.is_some() {
            return parser.refuse_at("crl", "needs a trusted_ca");
        }
        return Some(None);
    }
    if let (Some(roots), Some(lists)) = (&trusted_ca, &crl) {
        parser.at("crl", |parser| usable(roots, lists, parser))?;
    }
    let only_leaves = context.only_verify_leaf_cert_crl;
    let trusted_ca_file = file(context.trusted_ca.as_ref()).map(Arc::from);
    Some(Some(Validation {
        trusted_ca: trusted_ca.map(Arc::from),
        trusted_ca_file,
        subject_alt_names,
        crl: crl.map(Arc::from),
        only_leaves,
        trust_domains: Vec::new(),
    }))
}

fn refuse_unsupported(context: &wire::CertificateValidationContext, parser: &mut Parser) {
    parser.unsupported("ca_certificate_provider_instance", context.ca_certificate_provider_instance.is_some());
    parser.unsupported("system_root_certs", context.system_root_certs.is_some());
    parser.unsupported("verify_certificate_spki", !context.verify_certificate_spki.is_empty());
    parser.unsupported("verify_certificate_hash", !context.verify_certificate_hash.is_empty());
    parser.unsupported("require_signed_certificate_timestamp", context.require_signed_certificate_timestamp == Some(true));
    parser.unsupported("allow_expired_certificate", context.allow_expired_certificate);
    parser.unsupported("max_verify_depth", context.max_verify_depth.is_some());
    if !context.match_subject_alt_names.is_empty() {
        parser.refuse_at::<()>("match_subject_alt_names", "not supported: use match_typed_subject_alt_names");
    }
    if context.trust_chain_verification != i32::from(TrustChainVerification::VerifyTrustChain) {
        parser.refuse_at::<()>("trust_chain_verification", "only VERIFY_TRUST_CHAIN is supported");
    }
    parser.ignored("suppress_client_ca_list", context.suppress_client_ca_list, "clients are told the accepted authorities");
}

fn subject_alt_name(name: &wire::SubjectAltNameMatcher, parser: &mut Parser) -> Option<SanMatch> {
    let kind = match parser.choice("san_type", name.san_type) {
        None => None,
        Some(SanType::Dns) => Some(SanKind::Dns),
        Some(SanType::Uri) => Some(SanKind::Uri),
        Some(SanType::Email) => Some(SanKind::Email),
        Some(SanType::IpAddress) => Some(SanKind::Ip),
        Some(SanType::OtherName) => parser.refuse_at("san_type", "OTHER_NAME is not supported"),
        Some(SanType::Unspecified) => parser.refuse_at("san_type", "required"),
    };
    let matcher = parser.required("matcher", name.matcher.as_ref())?;
    let name = parser.at("matcher", |parser| matcher::string(matcher, parser));
    Some(SanMatch { kind: kind?, name: name? })
}

/// A certificate that is named: a secret of the bootstrap file or of a server.
pub(super) fn named_certificate(config: &wire::SdsSecretConfig, parser: &mut Parser) -> Option<CertificateSource> {
    match named(config, parser)? {
        StaticSecret::Certificate(certificate) => Some(certificate),
        StaticSecret::Validation(_) => parser.refuse_at("name", "this secret is not a tls_certificate"),
    }
}

/// What peers must show, by name.
pub(super) fn named_validation(config: &wire::SdsSecretConfig, parser: &mut Parser) -> Option<Current<Validation>> {
    match named(config, parser)? {
        StaticSecret::Validation(validation) => Some(validation),
        StaticSecret::Certificate(_) => parser.refuse_at("name", "this secret is not a validation_context"),
    }
}

fn named(config: &wire::SdsSecretConfig, parser: &mut Parser) -> Option<StaticSecret> {
    if config.name.is_empty() {
        return parser.refuse_at("name", "required");
    }
    if let Some(source) = &config.sds_config {
        return parser.at("sds_config", |parser| {
            config_source::of_one(source, Kind::Secret, &config.name, parser)?;
            // Not here yet is no fault: whoever reads the resource waits for it.
            parser.served_secret(&config.name)
        });
    }
    let secret = parser.secret(&config.name);
    secret.or_else(|| parser.refuse_at("name", format_args!("there is no static secret {:?}", config.name)))
}

/// Trusted roots by name, and what else must fit in place. As Envoy merges them: names of both count.
pub(super) fn combined(combined: &CombinedCertificateValidationContext, parser: &mut Parser) -> Option<Trust> {
    let default = parser.required("default_validation_context", combined.default_validation_context.as_ref());
    let config = combined.validation_context_sds_secret_config.as_ref();
    let config = parser.required("validation_context_sds_secret_config", config)?;
    let default = default?;
    let validation = parser.at("validation_context_sds_secret_config", |parser| named_validation(config, parser))?;
    let more_names = parser.at("default_validation_context", |parser| {
        parser.unsupported("trusted_ca", default.trusted_ca.is_some());
        parser.unsupported("crl", default.crl.is_some());
        parser.unsupported("custom_validator_config", default.custom_validator_config.is_some());
        refuse_unsupported(default, parser);
        let names = &default.match_typed_subject_alt_names;
        parser.each("match_typed_subject_alt_names", names, subject_alt_name)
    });
    Some(Trust { validation, more_names })
}
