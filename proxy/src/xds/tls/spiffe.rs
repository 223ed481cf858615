//! Whom to trust by trust domain (`envoy.tls.cert_validator.spiffe`).

use std::collections::BTreeSet;
use std::sync::Arc;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject as _;
use xds_proto::any;
use xds_proto::envoy::config::core::v3::TypedExtensionConfig;
use xds_proto::envoy::extensions::transport_sockets::tls::v3 as wire;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::spiffe_cert_validator_config::TrustDomain as WireDomain;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;

use crate::config::identity::{TrustDomain, is_trust_domain};
use crate::xds::data_source;
use crate::xds::invalid::Parser;
use crate::xds::tls::certificate;

/// Another bundle for each trust domain that a mesh knows; meshes know some, not thousands.
const MOST_DOMAINS: usize = 256;

/// The roots of each trust domain.
pub(super) fn trust_domains(validator: &TypedExtensionConfig, parser: &mut Parser) -> Option<Vec<TrustDomain>> {
    let packed = parser.required("typed_config", validator.typed_config.as_ref())?;
    parser.at("typed_config", |parser| {
        if !any::is::<wire::SpiffeCertValidatorConfig>(packed) {
            return parser.refuse_type("certificate validator", packed, "SPIFFECertValidatorConfig");
        }
        let config: wire::SpiffeCertValidatorConfig = parser.unpack(packed)?;
        parser.unsupported("trust_bundles", config.trust_bundles.is_some());
        match config.trust_domains.len() {
            0 => return parser.refuse_at("trust_domains", "required"),
            1..=MOST_DOMAINS => {}
            count => return parser.refuse_at("trust_domains", format_args!("{count} are more than {MOST_DOMAINS}")),
        }
        let mut seen = BTreeSet::new();
        let domains = parser.each("trust_domains", &config.trust_domains, |wire, parser| {
            let domain = domain(wire, parser);
            if !seen.insert(wire.name.clone()) {
                return parser.refuse_at("name", format_args!("{:?} is there already: a trust domain has one bundle", wire.name));
            }
            domain
        });
        (domains.len() == config.trust_domains.len()).then_some(domains)
    })
}

/// What the SPIFFE validator makes of the rest: names in URIs count, and another way to trust somebody would be one too many.
pub(super) fn beside(context: &wire::CertificateValidationContext, parser: &mut Parser) {
    parser.ignored("trusted_ca", context.trusted_ca.is_some(), "each trust domain has roots of its own, in custom_validator_config");
    if context.crl.is_some() {
        parser.refuse_at::<()>("crl", "not with custom_validator_config: a trust domain's revocation lists are in its trust_bundle");
    }
    if context.only_verify_leaf_cert_crl {
        parser.refuse_at::<()>("only_verify_leaf_cert_crl", "not with custom_validator_config: lists tell of the whole chain");
    }
    parser.each("match_typed_subject_alt_names", &context.match_typed_subject_alt_names, |name, parser| {
        let fits = name.san_type == i32::from(SanType::Uri);
        if fits { Some(()) } else { parser.refuse_at("san_type", "only URI with custom_validator_config: SPIFFE IDs are no other names") }
    });
}

fn domain(wire: &WireDomain, parser: &mut Parser) -> Option<TrustDomain> {
    parser.unsupported("workload_trust_domain", !wire.workload_trust_domain.is_empty());
    if !is_trust_domain(&wire.name) {
        let rule = "is no trust domain: those are of a-z, 0-9, '.', '-' and '_', at most 255, and without \"spiffe://\"";
        parser.refuse_at::<()>("name", format_args!("{:?} {rule}", wire.name));
    }
    let source = parser.required("trust_bundle", wire.trust_bundle.as_ref())?;
    parser.at("trust_bundle", |parser| {
        let bytes = data_source::bytes(source, parser)?;
        certificate::roots(&bytes, parser)?;
        let has_lists = CertificateRevocationListDer::pem_slice_iter(&bytes).next().is_some();
        if has_lists {
            certificate::revocation_lists(&bytes, parser)?;
            certificate::usable(&bytes, &bytes, parser)?;
        }
        // As Envoy: certificates and lists are in one text, and whoever reads one of them passes over the others.
        let text: Arc<[u8]> = Arc::from(bytes.as_ref());
        let crl = has_lists.then(|| Arc::clone(&text));
        Some(TrustDomain { name: wire.name.clone(), roots: text, file: certificate::file(Some(source)).map(Arc::from), crl })
    })
}
