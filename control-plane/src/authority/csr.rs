//! Requests for certificates: what they have to be, and what they may ask for.

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::authority::text::fingerprint;
use crate::model::identity::Identity;

/// Bytes of one: room for the largest key and its signature.
pub const LONGEST: usize = 16 * 1024;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A request that somebody made who has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    /// The public key, as certificates have it.
    pub key: Vec<u8>,
    /// Names that are asked for, as URIs and otherwise.
    asked: Vec<Asked>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Uri(String),
    Other(String),
    Authority,
}

/// Reads one, and verifies that it was made by the bearer of its key.
///
/// # Errors
/// What is wrong with it.
pub fn read(pem: &str) -> Result<Csr, String> {
    if pem.len() > LONGEST {
        return Err(format!("the request has {} bytes, {LONGEST} at most", pem.len()));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "there is no certificate request (PKCS #10) in PEM".to_owned())?;
    let (rest, request) = X509CertificationRequest::from_der(&der).map_err(|_| "the certificate request cannot be read".to_owned())?;
    if !rest.is_empty() {
        return Err("there are bytes behind the certificate request".to_owned());
    }
    let info = &request.certification_request_info;
    let algorithm = algorithm(&info.subject_pki, &request.signature_algorithm.algorithm.to_id_string())?;
    let key = UnparsedPublicKey::new(algorithm, &info.subject_pki.subject_public_key.data);
    key.verify(info.raw, &request.signature_value.data).map_err(|_| "the request is not signed by the key that it is for".to_owned())?;
    Ok(Csr { key: info.subject_pki.raw.to_vec(), asked: asked(&request)? })
}

/// By which the request has to be signed, if the key is of a kind that certificates are given for.
fn algorithm(key: &SubjectPublicKeyInfo<'_>, signed: &str) -> Result<&'static dyn VerificationAlgorithm, String> {
    const P256: &str = "1.2.840.10045.3.1.7";
    const P384: &str = "1.3.132.0.34";
    let of_key = key.algorithm.algorithm.to_id_string();
    let curve = key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    if of_key == "1.2.840.113549.1.1.1" {
        let bits = key.parsed().ok().map_or(0, |key| if let PublicKey::RSA(key) = key { key.key_size() } else { 0 });
        if !RSA_BITS.contains(&bits) {
            return Err(format!("the RSA key has {bits} bits, {} to {} are taken", RSA_BITS.start(), RSA_BITS.end()));
        }
    }
    let found: &'static dyn VerificationAlgorithm = match (of_key.as_str(), curve.as_deref(), signed) {
        ("1.2.840.10045.2.1", Some(P256), "1.2.840.10045.4.3.2") => &ECDSA_P256_SHA256_ASN1,
        ("1.2.840.10045.2.1", Some(P256), "1.2.840.10045.4.3.3") => &signature::ECDSA_P256_SHA384_ASN1,
        ("1.2.840.10045.2.1", Some(P384), "1.2.840.10045.4.3.2") => &signature::ECDSA_P384_SHA256_ASN1,
        ("1.2.840.10045.2.1", Some(P384), "1.2.840.10045.4.3.3") => &ECDSA_P384_SHA384_ASN1,
        ("1.3.101.112", None, "1.3.101.112") => &ED25519,
        ("1.2.840.113549.1.1.1", _, "1.2.840.113549.1.1.11") => &RSA_PKCS1_2048_8192_SHA256,
        ("1.2.840.113549.1.1.1", _, "1.2.840.113549.1.1.12") => &RSA_PKCS1_2048_8192_SHA384,
        ("1.2.840.113549.1.1.1", _, "1.2.840.113549.1.1.13") => &RSA_PKCS1_2048_8192_SHA512,
        _ => {
            let taken = "ECDSA with P-256 or P-384, Ed25519, and RSA, signed with SHA-256 or longer";
            return Err(format!("keys of this kind, or signatures of this one, are not taken: {taken}, are"));
        }
    };
    Ok(found)
}

fn asked(request: &X509CertificationRequest<'_>) -> Result<Vec<Asked>, String> {
    let mut all = Vec::new();
    for attribute in request.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else { continue };
        for extension in &requested.extensions {
            let parsed = extension.parsed_extension();
            if let ParsedExtension::ParseError { .. } = parsed {
                return Err(format!("the requested extension {} cannot be read", extension.oid.to_id_string()));
            }
            if let ParsedExtension::SubjectAlternativeName(names) = parsed {
                all.extend(names.general_names.iter().map(name));
            }
            if let ParsedExtension::BasicConstraints(constraints) = parsed
                && constraints.ca
            {
                all.push(Asked::Authority);
            }
        }
    }
    Ok(all)
}

fn name(name: &GeneralName<'_>) -> Asked {
    if let GeneralName::URI(uri) = name { Asked::Uri((*uri).to_owned()) } else { Asked::Other(name.to_string()) }
}

impl Csr {
    /// What the key is told apart by.
    pub fn key_id(&self) -> String {
        fingerprint(&self.key)
    }

    /// Whether it asks for nothing but what its bearer is. What a certificate says comes from whom the bearer was found to be, and
    /// never from here: who asks for something else is told so instead of being given something else.
    ///
    /// # Errors
    /// What it may not ask for.
    pub fn asks_for(&self, identity: &Identity) -> Result<(), String> {
        let own = identity.to_string();
        for asked in &self.asked {
            match asked {
                Asked::Uri(uri) if *uri == own => {}
                Asked::Uri(name) | Asked::Other(name) => {
                    let name: String = name.chars().take(200).collect();
                    return Err(format!("the request asks for {name:?}, and its bearer is {own}"));
                }
                Asked::Authority => return Err(format!("the request asks for an authority's certificate, and its bearer is {own}")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
