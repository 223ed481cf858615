//! A resource that is good may still not be able to serve: the address of a listener may be taken, the key of a scope. Until it
//! does, the one before it is kept, to be what is known again if it does not.

use std::sync::Arc;
use std::time::SystemTime;

use crate::xds::invalid::Faults;
use crate::xds::inventory::table::{Known, Origin, Refused, Table};

impl<T> Table<T> {
    /// As [`Table::accept`], and keeps what was there before until this one serves.
    pub(in crate::xds::inventory) fn accept_on_trial(&mut self, name: &str, origin: Origin, mut known: Known<T>) {
        known.value = known.value.or_else(|| self.value(name).cloned());
        let entry = self.entries.get_mut(name);
        let before = entry.and_then(|entry| entry.before.take().or_else(|| entry.known.take().map(Box::new)));
        self.accept(name, origin, known);
        if let Some(entry) = self.entries.get_mut(name) {
            entry.before = before;
        }
    }

    /// Forgets what was there before what `serves` now; whether there was any.
    pub(in crate::xds) fn settle<'a>(&mut self, serves: impl Fn(&str) -> Option<&'a Arc<T>>) -> bool
    where
        T: 'a,
    {
        let mut settled = false;
        for (name, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.before.is_some()) {
            let Some(value) = entry.known.as_ref().and_then(|known| known.value.as_ref()) else { continue };
            // One that waits for secrets has the value of the one before.
            let is_new = |before: &mut Box<Known<T>>| !is(before.value.as_ref(), value);
            if is(serves(name), value) {
                settled |= entry.before.take_if(is_new).is_some();
            }
        }
        // What it has named may not be named any more.
        self.changes = self.changes.wrapping_add(settled.into());
        settled
    }

    /// Forgets all that was there before: what was accepted stays.
    pub(in crate::xds::inventory) fn keep(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.before = None);
    }

    /// What was accepted cannot stay; what was there before is there again.
    pub(in crate::xds::inventory) fn revert(&mut self, name: &str, faults: &Faults) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let before = entry.before.take().map(|before| *before);
        if let Some(known) = std::mem::replace(&mut entry.known, before) {
            entry.refused = known.refused(faults);
        }
        self.changes = self.changes.wrapping_add(1);
    }

    /// With which change of the table a resource came, if it is known.
    pub(in crate::xds::inventory) fn age(&self, name: &str) -> Option<u64> {
        self.get(name)?.known.as_ref().map(|known| known.change)
    }

    /// What was accepted cannot serve; `serving` does, as before. `false` if another one has come already.
    pub(in crate::xds) fn take_back(&mut self, name: &str, failed: &Arc<T>, serving: Option<&Arc<T>>, faults: &Faults) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return false };
        let Some(known) = entry.known.take_if(|known| is(known.value.as_ref(), failed)) else { return false };
        entry.refused = known.refused(faults);
        let before = entry.before.take().filter(|before| serving.is_some_and(|serving| is(before.value.as_ref(), serving)));
        entry.known = match (before, serving) {
            (Some(before), _) => Some(*before),
            // A secret of it has changed, and the new one does not do.
            (None, Some(serving)) => Some(Known { value: Some(Arc::clone(serving)), ..known }),
            (None, None) => None,
        };
        self.changes = self.changes.wrapping_add(1);
        true
    }
}

impl<T> Known<T> {
    /// It is refused after all; of the bootstrap file there is nothing to tell.
    fn refused(&self, faults: &Faults) -> Option<Refused> {
        let body = self.body.clone()?;
        Some(Refused { version: self.version.clone(), body, faults: faults.clone(), at: SystemTime::now() })
    }
}

fn is<T>(one: Option<&Arc<T>>, other: &Arc<T>) -> bool {
    one.is_some_and(|one| Arc::ptr_eq(one, other))
}

#[cfg(test)]
mod tests {
    use prost_types::Any;

    use super::*;

    fn known(version: &str, value: Option<u32>) -> Known<u32> {
        Known {
            version: version.to_owned(),
            body: Some(Any::default()),
            since: SystemTime::now(),
            expires: None,
            change: 0,
            value: value.map(Arc::new),
            named: Default::default(),
            warnings: Vec::new(),
        }
    }

    /// One that serves, and one after it.
    fn two(second: Option<u32>) -> (Table<u32>, Arc<u32>) {
        let mut table = Table::default();
        table.accept_on_trial("x", Origin::Server, known("1", Some(1)));
        let first = Arc::clone(table.value("x").unwrap());
        table.settle(|_| Some(&first));
        table.accept_on_trial("x", Origin::Server, known("2", second));
        (table, first)
    }

    fn shown(table: &Table<u32>) -> (Option<&str>, Option<&str>) {
        let entry = table.get("x").unwrap();
        (entry.known.as_ref().map(|known| known.version.as_str()), entry.refused.as_ref().map(|refused| refused.version.as_str()))
    }

    #[test]
    fn what_cannot_serve_gives_way_to_what_does() {
        let (mut table, first) = two(Some(2));
        let second = Arc::clone(table.value("x").unwrap());
        assert!(!table.settle(|_| Some(&first)), "it does not serve yet");
        assert!(table.take_back("x", &second, Some(&first), &Faults::one("taken")));
        assert_eq!((shown(&table), **table.value("x").unwrap()), ((Some("1"), Some("2")), 1));
        assert!(!table.take_back("x", &second, Some(&first), &Faults::one("taken")), "it is not there any more");
    }

    #[test]
    fn what_serves_is_what_is_left() {
        let (mut table, first) = two(Some(2));
        let second = Arc::clone(table.value("x").unwrap());
        assert!(table.settle(|_| Some(&second)));
        assert!(!table.settle(|_| Some(&second)), "once");
        assert!(table.take_back("x", &second, None, &Faults::one("gone")));
        assert_eq!(shown(&table), (None, Some("2")), "what was before it does not serve, so it does not come back");
        drop(first);
    }

    #[test]
    fn the_one_before_the_last_two_is_kept_while_it_serves() {
        let (mut table, first) = two(Some(2));
        table.accept_on_trial("x", Origin::Server, known("3", Some(3)));
        let third = Arc::clone(table.value("x").unwrap());
        table.take_back("x", &third, Some(&first), &Faults::one("taken"));
        assert_eq!(shown(&table), (Some("1"), Some("3")));
    }

    #[test]
    fn the_one_before_is_kept_while_secrets_are_missing() {
        let (mut table, first) = two(None);
        assert!(Arc::ptr_eq(table.value("x").unwrap(), &first) && !table.settle(|_| Some(&first)));
        let complete = Arc::new(2);
        table.known_mut("x").unwrap().value = Some(Arc::clone(&complete));
        table.take_back("x", &complete, Some(&first), &Faults::one("taken"));
        assert_eq!(shown(&table), (Some("1"), Some("2")));
    }

    #[test]
    fn a_new_secret_that_does_not_do_leaves_the_resource() {
        let (mut table, first) = two(Some(2));
        let second = Arc::clone(table.value("x").unwrap());
        table.settle(|_| Some(&second));
        let renewed = Arc::new(3);
        table.known_mut("x").unwrap().value = Some(Arc::clone(&renewed));
        table.take_back("x", &renewed, Some(&second), &Faults::one("no"));
        assert_eq!((shown(&table), **table.value("x").unwrap()), ((Some("2"), Some("2")), 2));
        drop(first);
    }
}
