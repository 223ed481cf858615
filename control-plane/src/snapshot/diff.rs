use std::cmp::Ordering;
use std::sync::Arc;

use crate::snapshot::resource::Resource;
use crate::snapshot::set::Set;

/// What makes one set of another.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diff {
    changed: Box<[Arc<Resource>]>,
    /// Places in `changed`.
    added: Box<[usize]>,
    removed: Box<[Arc<Resource>]>,
}

impl Diff {
    /// From `earlier` to `later`.
    pub fn new(earlier: &Set, later: &Set) -> Self {
        let (mut changed, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut old, mut new) = (earlier.iter().peekable(), later.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some(old), Some(new)) => old.name.cmp(&new.name),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            match order {
                Ordering::Less => removed.extend(old.next().cloned()),
                Ordering::Greater => {
                    added.push(changed.len());
                    changed.extend(new.next().cloned());
                }
                Ordering::Equal => {
                    let (before, now) = (old.next(), new.next());
                    if before.map(|resource| resource.version) != now.map(|resource| resource.version) {
                        changed.extend(now.cloned());
                    }
                }
            }
        }
        Self { changed: changed.into(), added: added.into(), removed: removed.into() }
    }

    /// What is new or has another content, in the order of the names.
    pub fn changed(&self) -> &[Arc<Resource>] {
        &self.changed
    }

    /// Of those, what is new.
    pub fn added(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.added.iter().filter_map(|at| self.changed.get(*at))
    }

    /// What is gone, as it was.
    pub fn removed(&self) -> &[Arc<Resource>] {
        &self.removed
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Set {
        Set::new(pairs.iter().map(|(name, content)| Arc::new(Resource::new(*name, &(*content).to_owned()))))
    }

    fn names(resources: &[Arc<Resource>]) -> Vec<&str> {
        resources.iter().map(|resource| resource.name.as_ref()).collect()
    }

    #[test]
    fn new_and_changed_and_gone_are_told_apart_from_what_stays() {
        let diff = Diff::new(&set(&[("a", "1"), ("b", "1"), ("d", "1")]), &set(&[("b", "1"), ("c", "1"), ("d", "2"), ("e", "1")]));
        assert_eq!((names(diff.changed()), names(diff.removed())), (vec!["c", "d", "e"], vec!["a"]));
        assert_eq!(diff.added().map(|resource| resource.name.as_ref()).collect::<Vec<_>>(), ["c", "e"]);
    }

    #[test]
    fn between_equals_there_is_nothing() {
        assert_eq!(Diff::new(&set(&[("a", "1")]), &set(&[("a", "1")])), Diff::default());
    }
}
