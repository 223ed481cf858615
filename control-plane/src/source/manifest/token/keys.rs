use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::source::manifest::reader::Reader;

/// As in the proxy.
const MOST_KEYS: usize = 100;
/// As in the proxy: shorter RSA keys are not taken.
const SHORTEST_RSA: usize = 2048 / 8;
/// Algorithms that sign with a private key.
const ALGORITHMS: [&str; 10] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

/// Whether a set of keys has one that proxies can use: they refuse it otherwise, and with it all that the listener has.
pub(super) fn check(text: &str, reader: &mut Reader) -> Option<()> {
    let set: Value = match serde_json::from_str(text) {
        Ok(set) => set,
        Err(error) => return reader.refuse(format_args!("not a set of keys: {error}")),
    };
    let Some(keys) = set.get("keys").and_then(Value::as_array) else {
        return reader.refuse("not a set of keys: there is no list \"keys\"");
    };
    if keys.len() > MOST_KEYS {
        return reader.refuse(format_args!("{} keys are more than {MOST_KEYS}", keys.len()));
    }
    if !keys.iter().any(is_usable) {
        return reader.refuse("none of its keys can be used: RSA of 2048 bits and more, P-256, P-384, P-521 or Ed25519, for signatures");
    }
    Some(())
}

fn is_usable(key: &Value) -> bool {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let operations = key.get("key_ops").and_then(Value::as_array);
    let is_for_signatures = text("use").is_none_or(|purpose| purpose == "sig")
        && operations.is_none_or(|operations| operations.iter().any(|operation| operation == "verify"))
        && text("alg").is_none_or(|name| ALGORITHMS.contains(&name));
    let bytes = |name: &str| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let has = |name: &str, length: usize| bytes(name).is_some_and(|bytes| bytes.len() == length);
    let point = |length: usize| has("x", length) && has("y", length);
    is_for_signatures
        && match (text("kty"), text("crv")) {
            (Some("RSA"), _) => {
                let length = |name: &str| bytes(name).map_or(0, |bytes| bytes.into_iter().skip_while(|byte| *byte == 0).count());
                length("n") >= SHORTEST_RSA && length("e") > 0
            }
            (Some("EC"), Some("P-256")) => point(32),
            (Some("EC"), Some("P-384")) => point(48),
            (Some("EC"), Some("P-521")) => point(66),
            (Some("OKP"), Some("Ed25519")) => has("x", 32),
            _ => false,
        }
}
