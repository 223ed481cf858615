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

    pub(super) fn name(&mut self, name: &str) {
        let mut start = true;
        for byte in name.bytes() {
            self.lower &= !byte.is_ascii_uppercase();
            self.title &= if start { !byte.is_ascii_lowercase() } else { !byte.is_ascii_uppercase() };
            start = byte == b'-';
        }
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

/// Writes `name` as `spelling` says.
pub(super) fn write_name(out: &mut Vec<u8>, name: &HeaderName, spelling: &Spelling) {
    match spelling {
        Spelling::Lower => out.extend_from_slice(name.as_str().as_bytes()),
        Spelling::Title => {
            let mut start = true;
            out.extend(name.as_str().bytes().map(|byte| {
                let written = if start { byte.to_ascii_uppercase() } else { byte };
                start = byte == b'-';
                written
            }));
        }
        Spelling::AsWritten(names) => {
            let written = names.iter().find(|(known, _)| known == name).map(|(_, written)| written.as_ref());
            // A list from elsewhere cannot put other bytes on the wire than the name's own.
            let written = written.filter(|written| written.eq_ignore_ascii_case(name.as_str().as_bytes()));
            out.extend_from_slice(written.unwrap_or_else(|| name.as_str().as_bytes()));
        }
    }
}
