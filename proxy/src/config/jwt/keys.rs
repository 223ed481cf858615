use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// An algorithm that signs with a private key (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the registry")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// By its registered name. `none`, and those that sign with a secret that the verifier shares, are not among them.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A key of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// `kid`; a token that names a key is verified with that one.
    pub id: Option<String>,
    /// `alg`; else any that goes with the key.
    pub algorithm: Option<Algorithm>,
    /// The key itself.
    pub public: PublicKey,
}

/// A public key, and with its kind the algorithms that may be used with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// Big-endian, without zeros in front.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    /// An uncompressed point.
    P521(Vec<u8>),
    /// As it is.
    Ed25519(Vec<u8>),
}

/// Why something is not a set of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKeys(String);

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoKeys {}

/// More keys are not taken: a token that names none is tried with each.
const MOST_KEYS: usize = 100;

/// RSA keys of fewer bytes are not taken (NIST SP 800-131A).
const SHORTEST_RSA: usize = 2048 / 8;

/// The keys of a set (RFC 7517) that tokens can be signed with; at least one. One that cannot be used is left out, and told with
/// its reason: it verifies nothing.
///
/// # Errors
/// Not a set, or none of its keys can be used.
pub fn parse(bytes: &[u8]) -> Result<(Vec<Key>, Vec<String>), NoKeys> {
    let set: Value = serde_json::from_slice(bytes).map_err(|error| NoKeys(format!("not a set of keys: {error}")))?;
    let list = set.get("keys").and_then(Value::as_array);
    let list = list.ok_or_else(|| NoKeys("not a set of keys: there is no \"keys\"".to_owned()))?;
    if list.len() > MOST_KEYS {
        return Err(NoKeys(format!("{} keys, {MOST_KEYS} at most", list.len())));
    }
    let mut left_out = Vec::new();
    let mut keys = Vec::new();
    for raw in list {
        match key(raw) {
            Ok(key) => keys.push(key),
            Err(reason) => {
                let id = text(raw, "kid").unwrap_or_default();
                left_out.push(format!("key {id:?} is left out: {reason}"));
            }
        }
    }
    if keys.is_empty() {
        left_out.insert(0, "none of its keys can be used".to_owned());
        return Err(NoKeys(left_out.join("; ")));
    }
    Ok((keys, left_out))
}

fn text<'a>(raw: &'a Value, name: &str) -> Option<&'a str> {
    raw.get(name).and_then(Value::as_str)
}

fn key(raw: &Value) -> Result<Key, &'static str> {
    if text(raw, "use").is_some_and(|purpose| purpose != "sig") {
        return Err("it is not for signatures");
    }
    let operations = raw.get("key_ops").and_then(Value::as_array);
    if operations.is_some_and(|operations| !operations.iter().any(|operation| operation == "verify")) {
        return Err("it is not for verifying");
    }
    let public = public_key(raw)?;
    let algorithm = match text(raw, "alg") {
        None => None,
        Some(name) => Some(Algorithm::named(name).ok_or("its algorithm is not one that signs with a private key")?),
    };
    Ok(Key { id: text(raw, "kid").map(str::to_owned), algorithm, public })
}

fn public_key(raw: &Value) -> Result<PublicKey, &'static str> {
    let point = |size: usize| -> Result<Vec<u8>, &'static str> {
        let (x, y) = (member(raw, "x")?, member(raw, "y")?);
        if x.len() != size || y.len() != size {
            return Err("its point is not of its curve");
        }
        Ok([&[4][..], &x, &y].concat())
    };
    match (text(raw, "kty"), text(raw, "crv")) {
        (Some("RSA"), _) => {
            let (n, e) = (number(raw, "n")?, number(raw, "e")?);
            if n.len() < SHORTEST_RSA {
                return Err("RSA keys have 2048 bits at least");
            }
            Ok(PublicKey::Rsa { n, e })
        }
        (Some("EC"), Some("P-256")) => point(32).map(PublicKey::P256),
        (Some("EC"), Some("P-384")) => point(48).map(PublicKey::P384),
        (Some("EC"), Some("P-521")) => point(66).map(PublicKey::P521),
        (Some("OKP"), Some("Ed25519")) => {
            let bytes = member(raw, "x")?;
            if bytes.len() == 32 { Ok(PublicKey::Ed25519(bytes)) } else { Err("it is not 32 bytes long") }
        }
        (Some("oct"), _) => Err("whoever can verify with it can sign with it"),
        _ => Err("it is of a kind that is not known"),
    }
}

fn member(raw: &Value, name: &str) -> Result<Vec<u8>, &'static str> {
    let text = text(raw, name).ok_or("a part of it is missing")?;
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| "a part of it is not Base64url")
}

fn number(raw: &Value, name: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = member(raw, name)?;
    let begin = bytes.iter().position(|byte| *byte != 0).ok_or("a part of it is zero")?;
    Ok(bytes.get(begin..).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256: &str = r#"{"kty": "EC", "crv": "P-256", "kid": "e", "x": "wlgWVQ2-KeMME9PphCeM07kq2Lwp0BV8a0cAg-6Ewzw", "y": "fkJpgrKZG-SNLez3To7tz2htm7LU1DHC3p-KmLKr-s0"}"#;

    fn set(keys: &[&str]) -> Result<(Vec<Key>, Vec<String>), NoKeys> {
        parse(format!("{{\"keys\": [{}]}}", keys.join(", ")).as_bytes())
    }

    fn left_out(key: &str) -> String {
        let (keys, left_out) = set(&[P256, key]).unwrap();
        assert_eq!(keys.len(), 1, "{key}");
        left_out.into_iter().next().unwrap()
    }

    #[test]
    fn what_cannot_verify_is_left_out_with_its_reason() {
        assert_eq!(
            left_out(r#"{"kty": "oct", "kid": "s", "k": "c2VjcmV0"}"#),
            "key \"s\" is left out: whoever can verify with it can sign with it"
        );
        assert_eq!(left_out(r#"{"kty": "RSA", "n": "AQAB", "e": "AQAB"}"#), "key \"\" is left out: RSA keys have 2048 bits at least");
        assert_eq!(
            left_out(r#"{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}"#),
            "key \"\" is left out: its point is not of its curve"
        );
        assert_eq!(left_out(&P256.replace("\"kid\"", "\"use\": \"enc\", \"kid\"")), "key \"e\" is left out: it is not for signatures");
        assert_eq!(
            left_out(&P256.replace("\"kid\"", "\"key_ops\": [\"sign\"], \"kid\"")),
            "key \"e\" is left out: it is not for verifying"
        );
        let secret = P256.replace("\"kid\"", "\"alg\": \"HS256\", \"kid\"");
        assert_eq!(left_out(&secret), "key \"e\" is left out: its algorithm is not one that signs with a private key");
        assert_eq!(left_out(r#"{"kty": "OKP", "crv": "X25519", "x": "AA"}"#), "key \"\" is left out: it is of a kind that is not known");
    }

    #[test]
    fn a_set_without_a_key_to_use_is_none() {
        assert_eq!(set(&[]).unwrap_err().to_string(), "none of its keys can be used");
        assert!(parse(b"[]").unwrap_err().to_string().contains("there is no \"keys\""));
        assert!(parse(b"{").unwrap_err().to_string().starts_with("not a set of keys"));
        assert_eq!(set(&[P256; 101]).unwrap_err().to_string(), "101 keys, 100 at most");
    }
}
