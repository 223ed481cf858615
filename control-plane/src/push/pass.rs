//! The way from one snapshot to the next, for resources of one type: which names may differ.

use std::sync::Arc;

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
    item: usize,
}

#[derive(Debug)]
enum Part {
    Added(Arc<Set>),
    Gone(Arc<Set>),
    Changed(Arc<Diff>),
}

impl Pass {
    /// Layers are compared by their places. A name that moved from one to another is a candidate although it may not differ.
    pub fn new(kind: Kind, from: &Snapshot, to: &Arc<Snapshot>, asked: Vec<Arc<str>>) -> Self {
        let (mut old, mut new) = (from.of(kind), to.of(kind));
        let mut parts = Vec::new();
        loop {
            parts.extend(match (old.next(), new.next()) {
                (Some(old), Some(new)) if Arc::ptr_eq(old, new) => None,
                (Some(old), Some(new)) => Some(Part::Changed(new.since(old))),
                (None, Some(new)) => Some(Part::Added(Arc::clone(new))),
                (Some(old), None) => Some(Part::Gone(Arc::clone(old))),
                (None, None) => break,
            });
        }
        Self { target: Arc::clone(to), asked, parts, part: 0, item: 0 }
    }

    /// The next resource that the client may lack.
    pub fn candidate(&mut self) -> Option<Arc<Resource>> {
        while let Some(part) = self.parts.get(self.part) {
            let resources = match part {
                Part::Added(set) => set.as_slice(),
                Part::Changed(diff) => diff.changed(),
                Part::Gone(_) => &[],
            };
            if let Some(resource) = resources.get(self.item) {
                self.item += 1;
                return Some(Arc::clone(resource));
            }
            self.part += 1;
            self.item = 0;
        }
        None
    }

    /// What may be gone.
    pub fn removed(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.parts.iter().flat_map(|part| match part {
            Part::Added(_) => &[],
            Part::Changed(diff) => diff.removed(),
            Part::Gone(set) => set.as_slice(),
        })
    }
}
