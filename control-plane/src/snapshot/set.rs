use std::collections::BTreeMap;
use std::sync::Arc;

use crate::snapshot::resource::{Resource, Version};

/// Resources of one type, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Set {
    resources: BTreeMap<Arc<str>, Arc<Resource>>,
    version: Version,
}

impl Set {
    /// Of two with the same name the last stays.
    pub fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let resources: BTreeMap<_, _> = resources.into_iter().map(|resource| (Arc::clone(&resource.name), resource)).collect();
        let names = resources.keys().map(|name| Version::of(name.as_bytes()));
        let version = Version::of_all(names.chain(resources.values().map(|resource| resource.version)));
        Self { resources, version }
    }

    /// A name for the content of all.
    pub fn version(&self) -> Version {
        self.version
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(name)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }
}
