use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use crate::hex;
use crate::keyfile::Key;

/// Encrypts what the store is not to know.
pub(super) struct Seal(RandomizedNonceKey);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// With a key; none if the library does not take it.
    pub(super) fn new(key: &Key) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, key.bytes()).ok().map(Self)
    }

    /// Encrypts. `about` is no secret, and has to be the same when it is opened.
    pub(super) fn seal(&self, about: &str, secret: &[u8]) -> Option<String> {
        let mut text = secret.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(about), &mut text).ok()?;
        Some(hex::encode(nonce.as_ref()) + &hex::encode(&text))
    }

    /// What was encrypted with the same key.
    pub(super) fn open(&self, about: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = hex::decode(sealed)?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        self.0.open_in_place(nonce, Aad::from(about), &mut text).ok().map(|secret| secret.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_what_was_sealed_and_only_for_the_same_thing() {
        let with = |byte| Seal::new(&Key::new([byte; 32])).unwrap();
        let sealed = with(1).seal("root 1", b"secret").unwrap();
        assert!(!sealed.contains(&hex::encode(b"secret")));
        assert_eq!(with(1).open("root 1", &sealed).as_deref(), Some(b"secret".as_slice()));
        assert_eq!(with(1).open("root 2", &sealed), None);
        assert_eq!(with(2).open("root 1", &sealed), None);
        assert!(["", "00", &sealed[..40]].iter().all(|wrong| with(1).open("root 1", wrong).is_none()));
    }
}
