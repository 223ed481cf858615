use serde_json::{Value, json};

use super::*;
use crate::xds::invalid::StaticSecret;
use crate::xds::test_wire::{message, parsed};

fn pem() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn certificate() -> Value {
    let (chain, key) = pem();
    json!({"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}})
}

fn socket(kind: &str, context: &Value) -> TransportSocket {
    let mut config = context.clone();
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}"));
    message(&json!({"name": "tls", "typed_config": config}))
}

fn down(context: &Value) -> Result<ServerTls, String> {
    let socket = socket("DownstreamTlsContext", context);
    let (tls, _) = parsed(|parser| server(&socket, parser))?;
    Ok(Arc::unwrap_or_clone(tls.unwrap()))
}

fn up(context: &Value) -> Result<ClientTls, String> {
    let socket = socket("UpstreamTlsContext", context);
    let (tls, _) = parsed(|parser| client(&socket, parser))?;
    Ok(Arc::unwrap_or_clone(tls.unwrap()))
}

fn common(field: &str, value: Value) -> Value {
    let mut context = json!({"tls_certificates": [certificate()]});
    context[field] = value;
    json!({"common_tls_context": context})
}

#[test]
fn a_server_shows_a_certificate_and_asks_for_none() {
    let tls = down(&json!({"common_tls_context": {"tls_certificates": [certificate()], "alpn_protocols": ["h2", "http/1.1"]}})).unwrap();
    assert_eq!(tls.certificates.len(), 1);
    assert!(tls.validation.is_none());
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls12, TlsVersion::Tls13));
    assert_eq!(tls.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
}

#[test]
fn a_server_without_a_certificate_is_refused() {
    let fault = down(&json!({"common_tls_context": {}})).unwrap_err();
    assert_eq!(fault, "typed_config.common_tls_context.tls_certificates: a server needs a certificate");
    assert_eq!(down(&json!({})).unwrap_err(), "typed_config.common_tls_context: required");
}

#[test]
fn a_client_certificate_cannot_be_required_without_roots() {
    let mut context = common("alpn_protocols", json!([]));
    context["require_client_certificate"] = json!(true);
    let expected = "typed_config.common_tls_context.validation_context: require_client_certificate needs a trusted_ca to check it by";
    assert_eq!(down(&context).unwrap_err(), expected);
}

#[test]
fn names_of_peers_need_roots() {
    let names = json!({"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "spiffe://a/b"}}]});
    let fault = down(&common("validation_context", names.clone())).unwrap_err();
    let expected = "typed_config.common_tls_context.validation_context.match_typed_subject_alt_names: \
                    needs a trusted_ca: names prove nothing without one";
    assert_eq!(fault, expected);
    let mut with_roots = names;
    with_roots["trusted_ca"] = json!({"inline_string": pem().0});
    let validation = down(&common("validation_context", with_roots)).unwrap().validation.unwrap();
    assert_eq!(validation.validation.load().subject_alt_names.len(), 1);
}

#[test]
fn every_field_about_trust_acts_or_refuses() {
    let context = json!({
        "trusted_ca": {"inline_string": pem().0},
        "verify_certificate_hash": ["00"],
        "verify_certificate_spki": ["x"],
        "allow_expired_certificate": true,
        "trust_chain_verification": "ACCEPT_UNTRUSTED",
        "max_verify_depth": 1,
        "require_signed_certificate_timestamp": true,
        "match_subject_alt_names": [{"exact": "a"}],
        "match_typed_subject_alt_names": [{"san_type": "OTHER_NAME", "matcher": {"exact": "a"}}, {"san_type": "DNS"}],
    });
    let at = "typed_config.common_tls_context.validation_context";
    let expected = [
        "verify_certificate_spki: not supported",
        "verify_certificate_hash: not supported",
        "require_signed_certificate_timestamp: not supported",
        "allow_expired_certificate: not supported",
        "max_verify_depth: not supported",
        "match_subject_alt_names: not supported: use match_typed_subject_alt_names",
        "trust_chain_verification: only VERIFY_TRUST_CHAIN is supported",
        "match_typed_subject_alt_names[0].san_type: OTHER_NAME is not supported",
        "match_typed_subject_alt_names[1].matcher: required",
    ];
    let expected: Vec<String> = expected.iter().map(|fault| format!("{at}.{fault}")).collect();
    assert_eq!(down(&common("validation_context", context)).unwrap_err(), expected.join("\n"));
}

#[test]
fn a_key_or_a_certificate_that_is_none_is_refused() {
    let (chain, key) = pem();
    let swapped = json!([{"certificate_chain": {"inline_string": key}, "private_key": {"inline_string": chain}}]);
    let at = "typed_config.common_tls_context.tls_certificates[0]";
    let expected = format!(
        "{at}.certificate_chain: holds no certificate in PEM\n\
         {at}.private_key: holds no private key in PEM (PKCS#8, SEC1 or PKCS#1, not encrypted)"
    );
    assert_eq!(down(&common("tls_certificates", swapped)).unwrap_err(), expected);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let mixed = json!([{"certificate_chain": {"inline_string": pem().0}, "private_key": {"inline_string": pem().1}}]);
    let error = down(&common("tls_certificates", mixed)).unwrap_err();
    assert!(error.ends_with("tls_certificates[0].private_key: does not belong to the first certificate of certificate_chain"), "{error}");
}

#[test]
fn a_certificate_that_is_none_within_its_pem_is_refused() {
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = json!([{"certificate_chain": {"inline_string": empty}, "private_key": {"inline_string": pem().1}}]);
    let error = down(&common("tls_certificates", broken)).unwrap_err();
    assert!(error.contains("tls_certificates[0].certificate_chain: "), "{error}");
    let error = down(&common("validation_context", json!({"trusted_ca": {"inline_string": format!("{}{empty}", pem().0)}}))).unwrap_err();
    assert!(error.contains("validation_context.trusted_ca: certificate 1 (from 0): "), "{error}");
}

#[test]
fn a_certificate_file_that_is_not_there_is_named() {
    let files = json!([{"certificate_chain": {"filename": "/nowhere/cert.pem"}, "private_key": {"filename": "/nowhere/key.pem"}}]);
    let at = "typed_config.common_tls_context.tls_certificates[0]";
    let expected = format!(
        "{at}.certificate_chain.filename: reading \"/nowhere/cert.pem\": No such file or directory (os error 2)\n\
         {at}.private_key.filename: reading \"/nowhere/key.pem\": No such file or directory (os error 2)"
    );
    assert_eq!(down(&common("tls_certificates", files)).unwrap_err(), expected);
}

#[test]
fn versions_are_a_range_of_those_in_use() {
    let params = |min: &str, max: &str| {
        let params = json!({"tls_minimum_protocol_version": min, "tls_maximum_protocol_version": max});
        down(&common("tls_params", params)).map(|tls| (tls.min_version, tls.max_version))
    };
    assert_eq!(params("TLSv1_3", "TLSv1_3").unwrap(), (TlsVersion::Tls13, TlsVersion::Tls13));
    let at = "typed_config.common_tls_context.tls_params.tls_minimum_protocol_version";
    assert_eq!(params("TLSv1_3", "TLSv1_2").unwrap_err(), format!("{at}: above tls_maximum_protocol_version"));
    let old = format!("{at}: not supported: TLS 1.0 and 1.1 are withdrawn (RFC 8996)");
    assert_eq!(params("TLSv1_0", "TLS_AUTO").unwrap_err(), old);
}

#[test]
fn chosen_ciphers_are_refused_rather_than_forgotten() {
    let fault = down(&common("tls_params", json!({"cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256"]}))).unwrap_err();
    assert!(fault.starts_with("typed_config.common_tls_context.tls_params.cipher_suites: not supported"), "{fault}");
}

#[test]
fn a_client_needs_nothing_and_has_one_certificate_at_most() {
    let tls = up(&json!({"sni": "a.example"})).unwrap();
    assert_eq!(tls.sni.as_deref(), Some("a.example"));
    assert!(tls.certificate.is_none() && tls.validation.is_none());
    let two = json!({"common_tls_context": {"tls_certificates": [certificate(), certificate()]}});
    let expected = "typed_config.common_tls_context.tls_certificates: a client shows one certificate at most";
    assert_eq!(up(&two).unwrap_err(), expected);
}

#[test]
fn plain_text_is_a_transport_socket_too() {
    let raw = json!({"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"});
    let socket: TransportSocket = message(&json!({"name": "raw", "typed_config": raw}));
    assert!(parsed(|parser| server(&socket, parser)).unwrap().0.is_none());
    assert!(parsed(|parser| client(&socket, parser)).unwrap().0.is_none());
}

#[test]
fn a_context_for_the_other_side_is_refused() {
    let socket = socket("UpstreamTlsContext", &json!({}));
    let expected = "typed_config: transport socket of type \
                    \"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\" is not available; \
                    there are: DownstreamTlsContext, RawBuffer";
    assert_eq!(parsed(|parser| server(&socket, parser)).unwrap_err(), expected);
}

#[test]
fn static_secrets_are_found_by_name() {
    let named = json!({"common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "mine"}]}});
    let socket = socket("DownstreamTlsContext", &named);
    let (name, held) = parsed(|parser| secret(&message(&json!({"name": "mine", "tls_certificate": certificate()})), parser)).unwrap().0;
    let found = parsed(|parser| {
        parser.know_secret(name.clone(), held.clone());
        server(&socket, parser)
    });
    assert!(found.is_ok());
    let at = "typed_config.common_tls_context.tls_certificate_sds_secret_configs[0].name";
    let missing = parsed(|parser| server(&socket, parser)).unwrap_err();
    assert_eq!(missing, format!("{at}: there is no static secret \"mine\""));
    let trust = json!({"name": "mine", "validation_context": {"trusted_ca": {"inline_string": pem().0}}});
    let (_, trust) = parsed(|parser| secret(&message(&trust), parser)).unwrap().0;
    assert!(matches!(trust, StaticSecret::Validation(_)));
    let wrong = parsed(|parser| {
        parser.know_secret("mine".to_owned(), trust.clone());
        server(&socket, parser)
    });
    assert_eq!(wrong.unwrap_err(), format!("{at}: this secret is not a tls_certificate"));
}

#[test]
fn a_revocation_list_that_cannot_be_read_is_refused() {
    let list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    let trust = json!({"trusted_ca": {"inline_string": pem().0}, "crl": {"inline_string": list}});
    let error = down(&common("validation_context", trust)).unwrap_err();
    assert!(error.starts_with("typed_config.common_tls_context.validation_context.crl: "), "{error}");
}

fn by_domain(domains: &Value) -> Value {
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
    json!({"name": "envoy.tls.cert_validator.spiffe", "typed_config": {"@type": kind, "trust_domains": domains}})
}

const VALIDATOR: &str = "typed_config.common_tls_context.validation_context.custom_validator_config.typed_config";

#[test]
fn each_trust_domain_has_its_roots() {
    let (a, b) = (pem().0, pem().0);
    let domains = json!([
        {"name": "a.test", "trust_bundle": {"inline_string": a}},
        {"name": "b.test", "trust_bundle": {"inline_string": format!("{b}{a}")}},
    ]);
    let names = json!([{"san_type": "URI", "matcher": {"prefix": "spiffe://a.test/"}}]);
    let context = json!({"custom_validator_config": by_domain(&domains), "match_typed_subject_alt_names": names});
    let mut context = common("validation_context", context);
    context["require_client_certificate"] = json!(true);
    let validation = down(&context).unwrap().validation.unwrap().validation.load();
    let found: Vec<_> =
        validation.trust_domains.iter().map(|domain| (domain.name.as_str(), domain.roots.len(), domain.crl.is_some())).collect();
    assert_eq!(found, [("a.test", a.len(), false), ("b.test", a.len() + b.len(), false)]);
    assert!(validation.trusted_ca.is_none());
    assert_eq!(validation.subject_alt_names.len(), 1);
    let secret_of = json!({"name": "ALL", "validation_context": {"custom_validator_config": by_domain(&domains)}});
    assert!(matches!(parsed(|parser| secret(&message(&secret_of), parser)).unwrap().0.1, StaticSecret::Validation(_)));
}

#[test]
fn a_trust_domain_that_cannot_be_used_is_refused() {
    let bundle = json!({"inline_string": pem().0});
    let domains = json!([
        {"name": "spiffe://a.test", "trust_bundle": bundle},
        {"name": "a.test"},
        {"name": "a.test", "trust_bundle": {"inline_string": "none"}, "workload_trust_domain": "b.test"},
    ]);
    let fault = down(&common("validation_context", json!({"custom_validator_config": by_domain(&domains)}))).unwrap_err();
    let rule = "is no trust domain: those are of a-z, 0-9, '.', '-' and '_', at most 255, and without \"spiffe://\"";
    let expected = [
        format!("{VALIDATOR}.trust_domains[0].name: \"spiffe://a.test\" {rule}"),
        format!("{VALIDATOR}.trust_domains[1].trust_bundle: required"),
        format!("{VALIDATOR}.trust_domains[2].workload_trust_domain: not supported"),
        format!("{VALIDATOR}.trust_domains[2].trust_bundle: holds no certificate in PEM"),
        format!("{VALIDATOR}.trust_domains[2].name: \"a.test\" is there already: a trust domain has one bundle"),
    ];
    assert_eq!(fault, expected.join("\n"));
    let none = down(&common("validation_context", json!({"custom_validator_config": by_domain(&json!([]))}))).unwrap_err();
    assert_eq!(none, format!("{VALIDATOR}.trust_domains: required"));
}

#[test]
fn a_bundle_may_hold_revocation_lists() {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let key = rcgen::KeyPair::generate().unwrap();
    let root = params.self_signed(&key).unwrap().pem();
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(4000, 1, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&rcgen::Issuer::new(params, key)).unwrap().pem().unwrap();
    let with = |bundle: String| {
        let domains = json!([{"name": "a.test", "trust_bundle": {"inline_string": bundle}}]);
        down(&common("validation_context", json!({"custom_validator_config": by_domain(&domains)})))
    };
    let validation = with(format!("{root}{list}")).unwrap().validation.unwrap().validation.load();
    assert!(validation.trust_domains[0].crl.is_some());
    let broken = with(format!("{root}-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")).unwrap_err();
    assert!(broken.starts_with(&format!("{VALIDATOR}.trust_domains[0].trust_bundle: ")), "{broken}");
}

#[test]
fn nothing_decides_beside_trust_domains_but_uris() {
    let domains = json!([{"name": "a.test", "trust_bundle": {"inline_string": pem().0}}]);
    let context = json!({
        "custom_validator_config": by_domain(&domains),
        "crl": {"inline_string": "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"},
        "only_verify_leaf_cert_crl": true,
        "max_verify_depth": 1,
        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "a"}}, {"san_type": "DNS", "matcher": {"exact": "a"}}],
    });
    let at = "typed_config.common_tls_context.validation_context";
    let expected = [
        "max_verify_depth: not supported",
        "crl: not with custom_validator_config: a trust domain's revocation lists are in its trust_bundle",
        "only_verify_leaf_cert_crl: not with custom_validator_config: lists tell of the whole chain",
        "match_typed_subject_alt_names[1].san_type: only URI with custom_validator_config: SPIFFE IDs are no other names",
    ];
    let expected: Vec<String> = expected.iter().map(|fault| format!("{at}.{fault}")).collect();
    assert_eq!(down(&common("validation_context", context)).unwrap_err(), expected.join("\n"));
    let with_roots = json!({"custom_validator_config": by_domain(&domains), "trusted_ca": {"inline_string": pem().0}});
    let socket = socket("DownstreamTlsContext", &common("validation_context", with_roots));
    let (tls, warnings) = parsed(|parser| server(&socket, parser)).unwrap();
    let tls = tls.unwrap();
    let trust = tls.validation.as_ref().unwrap().validation.load();
    assert!(trust.trusted_ca.is_none(), "as Envoy: it lets nobody in");
    let expected = format!("{at}.trusted_ca: ignored: each trust domain has roots of its own, in custom_validator_config");
    assert_eq!(warnings, [expected]);
}

#[test]
fn another_validator_is_refused() {
    let other =
        json!({"name": "x", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.TlsParameters"}});
    let fault = down(&common("validation_context", json!({"custom_validator_config": other}))).unwrap_err();
    assert!(fault.starts_with(&format!("{VALIDATOR}: certificate validator of type ")), "{fault}");
    assert!(fault.ends_with("is not available; there are: SPIFFECertValidatorConfig"), "{fault}");
    let mut map = by_domain(&json!([{"name": "a.test", "trust_bundle": {"inline_string": pem().0}}]));
    map["typed_config"]["trust_bundles"] = json!({"inline_string": "{}"});
    let fault = down(&common("validation_context", json!({"custom_validator_config": map}))).unwrap_err();
    assert_eq!(fault, format!("{VALIDATOR}.trust_bundles: not supported"));
}
