//! Who may refer to what in another namespace: `ReferenceGrant`.

use std::sync::Arc;

use crate::model::kind::Kind;
use crate::model::name::Name;

/// A `ReferenceGrant`: it permits references into its own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceGrant {
    /// Its name.
    pub name: Name,
    /// Kinds and namespaces that may refer.
    pub from: Vec<(Kind, Arc<str>)>,
    /// What they may refer to; without a name all of the kind.
    pub to: Vec<(Kind, Option<Arc<str>>)>,
}

impl ReferenceGrant {
    /// Whether it lets an object of a kind in `namespace` refer to `target`.
    pub fn permits(&self, from: Kind, namespace: &str, kind: Kind, target: &Name) -> bool {
        *self.name.namespace == *target.namespace
            && self.from.iter().any(|(kind, allowed)| *kind == from && **allowed == *namespace)
            && self.to.iter().any(|(allowed, name)| *allowed == kind && name.as_ref().is_none_or(|name| *name == target.name))
    }
}
