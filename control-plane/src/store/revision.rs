//! Writes and what they did.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::store::object::Object;

/// Who, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub author: String,
    /// Why, in words; may be empty.
    pub message: String,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Write {
    /// Who, and why.
    pub by: By,
    /// What is to happen to each object.
    pub intents: Vec<Intent>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// What is to happen to an object.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Which object.
    pub key: Key,
    /// What it is to say; none deletes it.
    pub wanted: Option<Value>,
    /// What the writer believes of it.
    pub expected: Expected,
}

/// What a writer believes of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    #[default]
    Any,
    /// It is not there.
    Absent,
    /// It is there.
    Present,
    /// It was last written by this revision.
    Version(u64),
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// The revision that it made; none when it changed nothing, or was only to say what would happen.
    pub revision: Option<u64>,
    /// What happened to each object, in the order of the write.
    pub outcomes: Vec<Outcome>,
}

/// What happened to an object.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which object.
    pub key: Key,
    /// What it was, if it was there.
    pub before: Option<Object>,
    /// What it is, if it is there.
    pub after: Option<Object>,
}

impl Outcome {
    /// In one word.
    pub fn verdict(&self) -> Verdict {
        match (&self.before, &self.after) {
            (None, Some(_)) => Verdict::Created,
            (Some(_), None) => Verdict::Deleted,
            (before, after) if before == after => Verdict::Unchanged,
            _ => Verdict::Configured,
        }
    }
}

/// What happened to an object, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was not there.
    Created,
    /// It was another.
    Configured,
    /// It was so already.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// A write that changed something.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its number; the first is 1.
    pub number: u64,
    /// When, to the second.
    pub time: SystemTime,
    /// Who, and why.
    pub by: By,
    /// What changed.
    pub changes: Vec<Change>,
}

/// One object's part of a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which object.
    pub key: Key,
    /// What it was, if it was there.
    pub before: Option<Object>,
    /// What it is, if it is there.
    pub after: Option<Object>,
}

/// A revision as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    time: String,
    author: String,
    message: String,
    changes: Vec<KeptChange>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptChange {
    kind: String,
    namespace: String,
    name: String,
    before: Option<Object>,
    after: Option<Object>,
}

impl Revision {
    /// As it is kept.
    pub(super) fn text(&self) -> String {
        let changes = self.changes.iter().map(|change| KeptChange {
            kind: change.key.kind.plural().to_owned(),
            namespace: change.key.name.namespace.to_string(),
            name: change.key.name.name.to_string(),
            before: change.before.clone(),
            after: change.after.clone(),
        });
        let kept = Kept {
            time: humantime::format_rfc3339_seconds(self.time).to_string(),
            author: self.by.author.clone(),
            message: self.by.message.clone(),
            changes: changes.collect(),
        };
        serde_json::to_string(&kept).unwrap_or_default()
    }

    /// Reads what was kept. Kinds that this version does not know are left out.
    pub(super) fn read(number: u64, text: &str) -> Option<Self> {
        let kept: Kept = serde_json::from_str(text).ok()?;
        let changes = kept.changes.into_iter().filter_map(|change| {
            let key = Key { kind: Kind::of_word(&change.kind)?, name: Name::new(change.namespace, change.name) };
            Some(Change { key, before: change.before, after: change.after })
        });
        Some(Self {
            number,
            time: humantime::parse_rfc3339(&kept.time).ok()?,
            by: By { author: kept.author, message: kept.message },
            changes: changes.collect(),
        })
    }

    /// Bytes that it takes in memory, about.
    pub(super) fn size(&self) -> usize {
        let of = |object: &Option<Object>| object.as_ref().map_or(0, |object| object.text().len());
        256 + self.changes.iter().map(|change| 128 + of(&change.before) + of(&change.after)).sum::<usize>()
    }
}
