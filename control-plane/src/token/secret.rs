use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::{constant_time, rand};

use crate::hex;

/// So that a scanner of texts knows one.
pub const PREFIX: &str = "ninon-join-";
const ID: usize = 8;
const SECRET: usize = 32;
/// Digits of a pin: a SHA-256 in base64url.
const PIN: usize = 43;

/// A token as its bearer has it.
pub(super) struct Written {
    pub(super) id: String,
    secret: String,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Written {
    /// A new one.
    pub(super) fn random() -> Option<Self> {
        Some(Self { id: random::<ID>()?, secret: random::<SECRET>()? })
    }

    /// Reads what somebody shows.
    pub(super) fn read(shown: &str) -> Option<Self> {
        let (id, rest) = shown.strip_prefix(PREFIX)?.split_once('.')?;
        let (secret, pin) = rest.split_once('.').map_or((rest, None), |(secret, pin)| (secret, Some(pin)));
        let is_pin = |pin: &str| pin.len() == PIN && pin.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        let is = |text: &str, bytes: usize| text.len() == bytes * 2 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (is(id, ID) && is(secret, SECRET) && pin.is_none_or(is_pin)).then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }

    pub(super) fn text(&self, pin: Option<&str>) -> String {
        let pin = pin.map(|pin| format!(".{pin}")).unwrap_or_default();
        format!("{PREFIX}{}.{}{pin}", self.id, self.secret)
    }

    pub(super) fn digest(&self) -> Digest {
        Digest(digest(&SHA256, self.secret.as_bytes()).as_ref().try_into().unwrap_or_default())
    }
}

fn random<const BYTES: usize>() -> Option<String> {
    let mut bytes = [0_u8; BYTES];
    rand::fill(&mut bytes).ok()?;
    Some(hex::encode(&bytes))
}

/// What is kept of a secret. The secret is as random as the digest is long: there is nothing to guess.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

impl Digest {
    /// That of no secret at all.
    pub(super) const fn of_nothing() -> Self {
        Self([0; 32])
    }

    pub(super) fn is_of(&self, written: &Written) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &written.digest().0).is_ok()
    }

    pub(super) fn text(&self) -> String {
        hex::encode(&self.0)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        hex::decode(text)?.try_into().ok().map(Self)
    }
}
