//! What many streams are sent alike, written once.
//!
//! Streams of one view lack the same after a change. The first that is on its way gathers it, and its bytes; the others that are on
//! the same way refer to that. It is kept for as long as one of them has not acknowledged a part of it, and no longer.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;

use crate::push::names::{List, Names};
use crate::snapshot::resource::Resource;
use crate::snapshot::set::Set;

/// Resources in pages, each as long as an incremental answer.
#[derive(Debug)]
pub struct Batch {
    pages: Box<[Page]>,
    /// Nothing else has their addresses for as long as this lives.
    _way: (Weak<Set>, Weak<Set>, Weak<List>),
}

/// Resources, and their bytes once somebody needs them.
#[derive(Debug)]
pub struct Page {
    resources: Box<[Arc<Resource>]>,
    bytes: OnceLock<Bytes>,
}

impl Page {
    /// Its bytes in an incremental answer.
    pub fn bytes(&self, write: impl FnOnce(&[Arc<Resource>]) -> Bytes) -> &Bytes {
        self.bytes.get_or_init(|| write(&self.resources))
    }
}

impl Batch {
    fn new(resources: Vec<Arc<Resource>>, room: usize, way: (Weak<Set>, Weak<Set>, Weak<List>)) -> Self {
        let mut taken = 0;
        let mut pages = Vec::new();
        let mut page = Vec::new();
        for resource in resources {
            taken += resource.any.len() + resource.name.len();
            page.push(resource);
            if taken >= room {
                pages.push(std::mem::take(&mut page));
                taken = 0;
            }
        }
        pages.extend(Some(page).filter(|page| !page.is_empty()));
        let page = |resources: Vec<_>| Page { resources: resources.into(), bytes: OnceLock::new() };
        Self { pages: pages.into_iter().map(page).collect(), _way: way }
    }

    /// One of its pages.
    pub fn page(&self, at: usize) -> Option<&Page> {
        self.pages.get(at)
    }
}

/// Resources of an answer.
#[derive(Clone, Debug)]
pub enum Resources {
    /// Gathered for one stream.
    Own(Arc<[Arc<Resource>]>),
    /// A page of what others are sent, too.
    Page(Arc<Batch>, usize),
}

impl Resources {
    /// The page, if it is one.
    pub fn page(&self) -> Option<&Page> {
        match self {
            Self::Own(_) => None,
            Self::Page(batch, at) => batch.page(*at),
        }
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self::Own(Arc::default())
    }
}

impl Deref for Resources {
    type Target = [Arc<Resource>];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Own(resources) => resources,
            Self::Page(..) => self.page().map_or(&[], |page| &page.resources),
        }
    }
}

impl From<Vec<Arc<Resource>>> for Resources {
    fn from(resources: Vec<Arc<Resource>>) -> Self {
        Self::Own(resources.into())
    }
}

/// From which set to which, and for which names, by their addresses. 0: from nothing; for all names.
type Way = (usize, usize, usize);

/// The batches that streams are sent at the moment.
#[derive(Debug, Default)]
pub struct Batches(Mutex<HashMap<Way, Weak<Batch>>>);

impl Batches {
    /// What a client lacks that has `from`, and asks for `names` or for all: `lacks` of the difference's resources.
    pub fn share(
        &self,
        (from, to): (Option<&Arc<Set>>, &Arc<Set>),
        names: Option<&Names>,
        room: usize,
        candidates: &[Arc<Resource>],
    ) -> Arc<Batch> {
        let (from, to) = (from.map_or_else(Weak::new, Arc::downgrade), Arc::downgrade(to));
        let list = names.map_or_else(Weak::new, |names| Arc::downgrade(names.list()));
        let way = (address(&from), address(&to), address(&list));
        // While it is gathered, those who want the same wait for it.
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(batch) = batches.get(&way).and_then(Weak::upgrade) {
            return batch;
        }
        batches.retain(|_, batch| batch.strong_count() > 0);
        let wanted = candidates.iter().filter(|resource| names.is_none_or(|names| names.contains(&resource.name)));
        let batch = Arc::new(Batch::new(wanted.cloned().collect(), room, (from, to, list)));
        batches.insert(way, Arc::downgrade(&batch));
        batch
    }
}

fn address<T>(of: &Weak<T>) -> usize {
    of.as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Arc<Set> {
        Arc::new(Set::new(names.iter().map(|name| Arc::new(Resource::new(*name, &(*name).to_owned())))))
    }

    fn named(batch: &Batch) -> Vec<Vec<&str>> {
        batch.pages.iter().map(|page| page.resources.iter().map(|resource| resource.name.as_ref()).collect()).collect()
    }

    fn names(all: &[&str]) -> Names {
        let mut names = Names::default();
        for name in all {
            names.insert((*name).into());
        }
        names
    }

    #[test]
    fn streams_on_the_same_way_share_a_batch_until_the_last_has_it() {
        let (batches, to) = (Batches::default(), set(&["a", "b"]));
        let some = names(&["b", "x"]);
        let first = batches.share((None, &to), Some(&some), 1000, to.as_slice());
        assert!(Arc::ptr_eq(&first, &batches.share((None, &to), Some(&some), 1000, to.as_slice())));
        assert_eq!(named(&first), [["b"]]);
        let all = batches.share((None, &to), None, 1000, to.as_slice());
        assert_eq!(named(&all), [["a", "b"]]);
        drop((first, all));
        let from = set(&["a"]);
        let other = batches.share((Some(&from), &to), None, 1000, &to.as_slice()[1..]);
        assert_eq!((named(&other), batches.0.lock().unwrap().len()), (vec![vec!["b"]], 1));
    }

    #[test]
    fn a_long_batch_has_pages() {
        let (batches, to) = (Batches::default(), set(&["a", "b", "c"]));
        let batch = batches.share((None, &to), None, to.as_slice()[0].any.len() + 2, to.as_slice());
        assert_eq!(named(&batch), [vec!["a", "b"], vec!["c"]]);
        assert_eq!(Resources::Page(Arc::clone(&batch), 1).len(), 1);
        assert!(Resources::Page(batch, 2).is_empty());
    }
}
