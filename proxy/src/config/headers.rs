//! Header mutations.

use http::header::HeaderName;

use crate::config::format::Format;

/// Headers to remove and to set, in the order written. Removal comes first.
#[derive(Clone, Debug, Default)]
pub struct HeaderMutations {
    /// Names to remove.
    pub remove: Vec<HeaderName>,
    /// Values to add or overwrite.
    pub set: Vec<HeaderSet>,
}

impl HeaderMutations {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }
}

/// One header to set (`HeaderValueOption`).
#[derive(Clone, Debug)]
pub struct HeaderSet {
    /// What is set.
    pub target: HeaderTarget,
    /// The value, evaluated for each exchange.
    pub value: Format,
    /// What happens to a value that is there.
    pub action: HeaderAction,
    /// Set it even when the value is empty (else the header is left as it is).
    pub keep_empty: bool,
}

/// What a header mutation sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderTarget {
    /// A field.
    Field(HeaderName),
}

/// What happens to a value that is there (`HeaderAppendAction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderAction {
    /// Another value of the same name is added.
    Append,
    /// Only if there is none.
    AddIfAbsent,
    /// Replaces what is there.
    OverwriteOrAdd,
    /// Replaces what is there; adds nothing.
    OverwriteIfExists,
}
