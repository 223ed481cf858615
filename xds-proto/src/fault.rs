//! One thing that is wrong in a message, and where.

use std::fmt;

/// One thing that is wrong: where, and what the rule is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, such as `static_resources.listeners[0].address`; empty for the message as a whole.
    pub path: String,
    /// What is wrong with it, in lower case and without a full stop.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}

impl std::error::Error for Fault {}
