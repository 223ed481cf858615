//! Names that a stream asks for. Sidecars of one view ask for the same, so their lists are shared.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Names in their order.
pub type List = Vec<Arc<str>>;

/// Shorter lists are not worth sharing.
const SHORT: usize = 16;

/// Names in their order, each once. They are shared with the resources that bear them.
#[derive(Clone, Debug, Default)]
pub struct Names {
    list: Arc<List>,
    is_shared: bool,
}

impl Names {
    /// Whether a name is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Adds a name; whether it is new.
    pub fn insert(&mut self, name: Arc<str>) -> bool {
        let place = self.find(&name);
        if let Err(at) = place {
            self.own().insert(at, name);
        }
        place.is_err()
    }

    /// Takes a name out; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let place = self.find(name);
        if let Ok(at) = place {
            self.own().remove(at);
        }
        place.is_ok()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.list.iter()
    }

    /// The list itself, which is another one after every change.
    pub fn list(&self) -> &Arc<List> {
        &self.list
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// They may stay as they are for long: the memory of equal lists is shared, and what growing took is given back.
    pub fn settle(&mut self, lists: &Lists) {
        if !self.is_shared {
            self.is_shared = true;
            self.own_or_shared().shrink_to_fit();
            if self.len() >= SHORT {
                self.list = lists.share(&self.list);
            }
        }
    }

    fn own(&mut self) -> &mut List {
        self.is_shared = false;
        self.own_or_shared()
    }

    fn own_or_shared(&mut self) -> &mut List {
        Arc::make_mut(&mut self.list)
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Names are mostly added in their order.
        match self.list.last() {
            Some(last) if last.as_ref() < name => Err(self.len()),
            _ => self.list.binary_search_by(|known| known.as_ref().cmp(name)),
        }
    }
}

/// The lists that streams share.
#[derive(Debug, Default)]
pub struct Lists(Mutex<HashMap<u64, Vec<Weak<List>>>>);

impl Lists {
    /// The one that is equal, or this one for those to come.
    fn share(&self, list: &Arc<List>) -> Arc<List> {
        let mut hasher = DefaultHasher::new();
        list.hash(&mut hasher);
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(equal) = lists.get(&hasher.finish()).into_iter().flatten().filter_map(Weak::upgrade).find(|known| known == list) {
            return equal;
        }
        lists.retain(|_, known| {
            known.retain(|list| list.strong_count() > 0);
            !known.is_empty()
        });
        lists.entry(hasher.finish()).or_default().push(Arc::downgrade(list));
        Arc::clone(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: impl IntoIterator<Item = String>) -> Names {
        let mut names = Names::default();
        for name in all {
            names.insert(name.into());
        }
        names
    }

    #[test]
    fn a_name_is_held_once_and_in_its_order() {
        let mut names = Names::default();
        let added: Vec<_> = ["b", "a", "c", "b"].into_iter().map(|name| names.insert(name.into())).collect();
        assert_eq!(added, [true, true, true, false]);
        assert_eq!(names.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a", "b", "c"]);
        assert!(names.remove("b") && !names.remove("b") && !names.contains("b"));
        assert!(names.len() == 2 && !names.is_empty());
    }

    #[test]
    fn equal_lists_are_one_until_they_differ() {
        let (lists, many) = (Lists::default(), || (0..100).map(|at| at.to_string()));
        let (mut first, mut second) = (names(many()), names(many()));
        first.settle(&lists);
        second.settle(&lists);
        assert!(Arc::ptr_eq(&first.list, &second.list));
        second.insert("x".into());
        assert_eq!((first.len(), second.len()), (100, 101));
        second.settle(&lists);
        second.remove("x");
        second.settle(&lists);
        assert!(Arc::ptr_eq(&first.list, &second.list));
    }

    #[test]
    fn lists_that_nobody_has_are_forgotten() {
        let lists = Lists::default();
        for from in 0..10 {
            names((from..from + 100).map(|at| at.to_string())).settle(&lists);
        }
        assert_eq!(lists.0.lock().unwrap().len(), 1);
    }
}
