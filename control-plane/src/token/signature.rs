use std::fmt;

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use crate::hex;
use crate::keyfile::Key;

/// What the file's key is for here: another use of the same file has another key.
const PURPOSE: &[u8] = b"ninon: records of join tokens";

/// Signs what the store keeps of tokens (HMAC-SHA256), so that who writes the store, and has not the key, makes none and changes none.
#[derive(Clone)]
pub struct Signer(hmac::Key);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// With a key of its own that comes from that of a file.
    pub fn new(key: &Key) -> Self {
        let own = hmac::sign(&hmac::Key::new(HMAC_SHA256, key.bytes()), PURPOSE);
        Self(hmac::Key::new(HMAC_SHA256, own.as_ref()))
    }

    /// The signature below the record of a token.
    pub(super) fn sign(&self, id: &str, record: &str) -> String {
        hex::encode(hmac::sign(&self.0, of(id, record).as_bytes()).as_ref())
    }

    /// Whether the record of a token was signed so, by this key.
    pub(super) fn has_signed(&self, id: &str, record: &str, signature: &str) -> bool {
        hex::decode(signature).is_some_and(|signature| hmac::verify(&self.0, of(id, record).as_bytes(), &signature).is_ok())
    }
}

/// A record has no line's end: where the token's name ends is never in doubt.
fn of(id: &str, record: &str) -> String {
    format!("{id}\n{record}")
}
