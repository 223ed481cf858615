//! How header names are written: seen in what was read, followed in what is written.

use bytes::Bytes;
use http::header::HeaderName;

use crate::codec::Spelling;

/// Watches the names of one head.
#[derive(Debug)]
pub(super) struct Seen {
    lower: bool,
    title: bool,
}

impl Seen {
    pub(super) const fn new() -> Self {
        Self { lower: true, title: true }
    }

    /// Most names are decided by their first byte.
    pub(super) fn name(&mut self, name: &str) {
        self.lower = self.lower && !name.bytes().any(|byte| byte.is_ascii_uppercase());
        self.title = self.title && is_title(name);
    }

    /// The spelling of all names; `names` is asked only where no rule covers them.
    pub(super) fn finish(&self, names: impl Iterator<Item = (HeaderName, Bytes)>) -> Spelling {
        if self.lower {
            Spelling::Lower
        } else if self.title {
            Spelling::Title
        } else {
            Spelling::AsWritten(names.filter(|(name, written)| name.as_str().as_bytes() != written.as_ref()).collect())
        }
    }
}

fn is_title(name: &str) -> bool {
    let mut start = true;
    name.bytes().all(|byte| {
        let fits = if start { !byte.is_ascii_lowercase() } else { !byte.is_ascii_uppercase() };
        start = byte == b'-';
        fits
    })
}

/// Writes `name` as `spelling` says.
pub(super) fn write_name(out: &mut Vec<u8>, name: &HeaderName, spelling: &Spelling) {
    match spelling {
        Spelling::Lower => out.extend_from_slice(name.as_str().as_bytes()),
        Spelling::Title => {
            let from = out.len();
            out.extend_from_slice(name.as_str().as_bytes());
            let mut start = true;
            for byte in out.get_mut(from..).unwrap_or_default() {
                if start {
                    byte.make_ascii_uppercase();
                }
                start = *byte == b'-';
            }
        }
        Spelling::AsWritten(names) => {
            let written = names.iter().find(|(known, _)| known == name).map(|(_, written)| written.as_ref());
            // A list from elsewhere cannot put other bytes on the wire than the name's own.
            let written = written.filter(|written| written.eq_ignore_ascii_case(name.as_str().as_bytes()));
            out.extend_from_slice(written.unwrap_or_else(|| name.as_str().as_bytes()));
        }
    }
}
