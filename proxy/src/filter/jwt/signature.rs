use aws_lc_rs::signature as lc;
use aws_lc_rs::signature::{RsaParameters, UnparsedPublicKey, VerificationAlgorithm};

use crate::config::jwt::keys::{Algorithm, PublicKey};

/// Whether a key made a signature. The key's kind says which algorithms may be used with it: nothing is ever taken for a secret.
pub(super) fn verifies(key: &PublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    match (key, algorithm) {
        (PublicKey::Rsa { n, e }, _) => {
            let Some(parameters) = rsa(algorithm) else { return false };
            lc::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
        }
        (PublicKey::P256(point), Algorithm::Es256) => plain(&lc::ECDSA_P256_SHA256_FIXED, point, message, signature),
        (PublicKey::P384(point), Algorithm::Es384) => plain(&lc::ECDSA_P384_SHA384_FIXED, point, message, signature),
        (PublicKey::P521(point), Algorithm::Es512) => plain(&lc::ECDSA_P521_SHA512_FIXED, point, message, signature),
        (PublicKey::Ed25519(key), Algorithm::EdDsa) => plain(&lc::ED25519, key, message, signature),
        (PublicKey::P256(_) | PublicKey::P384(_) | PublicKey::P521(_) | PublicKey::Ed25519(_), _) => false,
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &lc::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &lc::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &lc::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &lc::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &lc::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &lc::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => return None,
    })
}

fn plain(algorithm: &'static (impl VerificationAlgorithm + 'static), key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}
