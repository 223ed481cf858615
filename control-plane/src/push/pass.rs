//! The way from one snapshot to the next, for resources of one type: which names may differ.

use std::sync::Arc;

use crate::push::batch::{Batch, Batches, Resources};
use crate::push::names::Names;
use crate::snapshot::Snapshot;
use crate::snapshot::diff::Diff;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::Resource;
use crate::snapshot::set::Set;

/// A walk over what may differ. It refers to sets and to differences that all streams share.
#[derive(Debug)]
pub struct Pass {
    /// Where it leads.
    pub target: Arc<Snapshot>,
    /// Names that are to be looked at first.
    pub asked: Vec<Arc<str>>,
    parts: Vec<Part>,
    part: usize,
    /// The next resource of that part, or the next page of it.
    item: usize,
}

/// Fewer resources are no work: they are gathered with others into one answer.
const FEW: usize = 8;

/// What became of a layer.
#[derive(Debug)]
struct Part {
    way: Way,
    /// The resources to send, where they are the same for all who go this way.
    batch: Option<Arc<Batch>>,
}

#[derive(Debug)]
enum Way {
    Added(Arc<Set>),
    Gone(Arc<Set>),
    Changed { from: Arc<Set>, to: Arc<Set>, diff: Arc<Diff> },
}

impl Way {
    fn candidates(&self) -> &[Arc<Resource>] {
        match self {
            Self::Added(set) => set.as_slice(),
            Self::Changed { diff, .. } => diff.changed(),
            Self::Gone(_) => &[],
        }
    }
}

impl Pass {
    /// Layers are compared by their places. A name that moved from one to another is a candidate although it may not differ.
    pub fn new(kind: Kind, from: &Snapshot, to: &Arc<Snapshot>, asked: Vec<Arc<str>>) -> Self {
        let (mut old, mut new) = (from.of(kind), to.of(kind));
        let mut parts = Vec::new();
        loop {
            parts.extend(match (old.next(), new.next()) {
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) => None,
                (Some(old), Some(new)) => Some(Way::Changed { from: Arc::clone(old), to: Arc::clone(new), diff: new.since(old) }),
                (None, Some(new)) => Some(Way::Added(Arc::clone(new))),
                (Some(old), None) => Some(Way::Gone(Arc::clone(old))),
                (None, None) => break,
            });
        }
        let parts = parts.into_iter().map(|way| Part { way, batch: None }).collect();
        Self { target: Arc::clone(to), asked, parts, part: 0, item: 0 }
    }

    /// Has the parts sent alike to all who ask for these names, or for all: where nothing that is new in a layer can be known from
    /// another. The client must hold what `from` says and nothing else.
    pub fn share(&mut self, kind: Kind, from: &Snapshot, names: Option<&Names>, room: usize, batches: &Batches) {
        let holds_nothing = from.of(kind).all(|set| set.is_empty());
        for part in self.parts.iter_mut().filter(|part| part.way.candidates().len() >= FEW) {
            let way = match &part.way {
                Way::Added(to) if holds_nothing => (None, to),
                Way::Changed { from: old, to, diff } if diff.added().all(|new| from.get(kind, &new.name).is_none()) => (Some(old), to),
                Way::Added(_) | Way::Changed { .. } | Way::Gone(_) => continue,
            };
            part.batch = Some(batches.share(way, names, room, part.way.candidates()));
        }
    }

    /// The next resources that the client lacks, if it is the turn of a part that is sent alike to many.
    pub fn page(&mut self) -> Option<Resources> {
        while let Some(batch) = self.parts.get(self.part)?.batch.as_ref() {
            if batch.page(self.item).is_some() {
                self.item += 1;
                return Some(Resources::Page(Arc::clone(batch), self.item - 1));
            }
            self.advance();
        }
        None
    }

    /// The next resource that the client may lack, unless it is the turn of a part that is sent alike to many.
    pub fn candidate(&mut self) -> Option<Arc<Resource>> {
        while let Some(part) = self.parts.get(self.part).filter(|part| part.batch.is_none()) {
            if let Some(resource) = part.way.candidates().get(self.item) {
                self.item += 1;
                return Some(Arc::clone(resource));
            }
            self.advance();
        }
        None
    }

    /// Whether there is nothing left to send.
    pub fn is_over(&self) -> bool {
        let has_more = |(at, part): (usize, &Part)| {
            let item = if at == 0 { self.item } else { 0 };
            match &part.batch {
                Some(batch) => batch.page(item).is_some(),
                None => part.way.candidates().get(item).is_some(),
            }
        };
        self.asked.is_empty() && !self.parts.iter().skip(self.part).enumerate().any(has_more)
    }

    fn advance(&mut self) {
        self.part += 1;
        self.item = 0;
    }

    /// What may be gone.
    pub fn removed(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.parts.iter().flat_map(|part| match &part.way {
            Way::Added(_) => &[],
            Way::Changed { diff, .. } => diff.removed(),
            Way::Gone(set) => set.as_slice(),
        })
    }
}
