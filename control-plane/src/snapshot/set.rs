use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::snapshot::diff::Diff;
use crate::snapshot::resource::{Resource, Version};

/// Resources of one type, by name.
#[derive(Debug, Default)]
pub struct Set {
    /// Ordered by name, each name once.
    resources: Box<[Arc<Resource>]>,
    version: Version,
    /// What this has and an earlier one had not, computed by the first stream that asks.
    since: Mutex<Option<(Weak<Self>, Arc<Diff>)>>,
}

impl Set {
    /// Of two with the same name the last stays.
    pub fn new(resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let mut resources: Vec<_> = resources.into_iter().collect();
        // Reversed and stable: the last of a name comes first, and stays.
        resources.reverse();
        resources.sort_by(|a, b| a.name.cmp(&b.name));
        resources.dedup_by(|later, first| later.name == first.name);
        let version = Version::of_all(resources.iter().map(|resource| (resource.name.as_ref(), resource.version)));
        Self { resources: resources.into(), version, since: Mutex::default() }
    }

    /// A name for the content of all.
    pub fn version(&self) -> Version {
        self.version
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        let at = self.resources.binary_search_by(|resource| resource.name.as_ref().cmp(name)).ok()?;
        self.resources.get(at)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter()
    }

    /// The same as a slice.
    pub fn as_slice(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// What makes this of an earlier one. All streams that go the same way share one answer: the last is kept for as long as
    /// this set lives.
    pub fn since(&self, earlier: &Arc<Self>) -> Arc<Diff> {
        let mut kept = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, diff)) = kept.as_ref()
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(earlier))
        {
            return Arc::clone(diff);
        }
        let diff = Arc::new(Diff::new(earlier, self));
        *kept = Some((Arc::downgrade(earlier), Arc::clone(&diff)));
        diff
    }
}

impl PartialEq for Set {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.resources == other.resources
    }
}

impl Eq for Set {}

#[cfg(test)]
mod tests {

    use super::*;

    fn resource(name: &str, content: &str) -> Arc<Resource> {
        Arc::new(Resource::new(name, &content.to_owned()))
    }

    #[test]
    fn the_last_of_a_name_stays() {
        let set = Set::new([resource("b", "1"), resource("a", "1"), resource("b", "2")]);
        assert_eq!(set.iter().map(|one| one.name.as_ref()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(set.get("b"), Some(&resource("b", "2")));
        assert_eq!(set.get("c"), None);
    }

    #[test]
    fn the_version_is_that_of_names_and_content() {
        let version = |pairs: &[(&str, &str)]| Set::new(pairs.iter().map(|(name, content)| resource(name, content))).version();
        assert_eq!(version(&[("a", "1"), ("b", "2")]), version(&[("b", "2"), ("a", "1")]));
        assert_ne!(version(&[("a", "1")]), version(&[("a", "2")]));
        assert_ne!(version(&[("a", "1")]), version(&[("b", "1")]));
        assert_ne!(version(&[("a", "1")]), version(&[]));
    }

    #[test]
    fn all_streams_share_one_difference() {
        let first = Arc::new(Set::new([resource("a", "1")]));
        let second = Set::new([resource("a", "2")]);
        assert!(Arc::ptr_eq(&second.since(&first), &second.since(&first)));
        let other = Arc::new(Set::new([resource("x", "1")]));
        assert_eq!(second.since(&other).removed().len(), 1);
        assert_eq!(second.since(&first).removed().len(), 0);
    }
}
