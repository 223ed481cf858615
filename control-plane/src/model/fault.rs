//! What is wrong with an object, and where.

use std::fmt;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, as in `spec.rules[0].matches[1].path.value`; empty for the object as a whole.
    pub path: String,
    /// The rule that it breaks, with the value where that helps.
    pub problem: String,
}

impl Fault {
    /// A fault at a field.
    pub fn at(path: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self { path: path.into(), problem: problem.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.problem),
            path => write!(f, "{path}: {}", self.problem),
        }
    }
}
