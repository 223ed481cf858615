//! Why the store did not do something.

use std::fmt;

use crate::model::name::Key;
use crate::store::revision::Expected;

/// A refusal or a failure. Nothing of what was asked for has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Somebody else changed the object in the meantime.
    Conflict {
        /// Which object.
        key: Key,
        /// What the writer believed.
        expected: Expected,
        /// The revision of its last write; none when it is not there.
        actual: Option<u64>,
    },
    /// There is no such object.
    NotFound(Key),
    /// A write names an object twice.
    Twice(Key),
    /// What is to be written is no JSON object.
    Shapeless(Key),
    /// The revision is no longer kept.
    Gone {
        /// The one asked for.
        asked: u64,
        /// The oldest that could be.
        oldest: u64,
    },
    /// The revision has not been yet.
    NoRevision {
        /// The one asked for.
        asked: u64,
        /// The latest.
        latest: u64,
    },
    /// Another process has the directory.
    InUse(String),
    /// The disk refuses.
    Disk(String),
    /// etcd does not answer, or refuses.
    Etcd(String),
    /// etcd does not take so much in one write.
    TooLarge(String),
    /// There is no room for more of something.
    Full(&'static str),
    /// Others write all the time.
    Busy,
    /// The store is closing.
    Closed,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict { key, expected: Expected::Absent, actual: Some(actual) } => {
                write!(f, "{key} exists already, at resourceVersion {actual}")
            }
            Self::Conflict { key, expected: Expected::Version(expected), actual: Some(actual) } => {
                write!(f, "{key} was changed in the meantime: resourceVersion {expected} was expected, it is at {actual}")
            }
            Self::Conflict { key, expected: Expected::Version(expected), actual: None } => {
                write!(f, "{key} was deleted in the meantime: resourceVersion {expected} was expected")
            }
            Self::Conflict { key, expected: Expected::Any | Expected::Absent | Expected::Present, .. } | Self::NotFound(key) => {
                write!(f, "{key} does not exist")
            }
            Self::Twice(key) => write!(f, "{key} is named twice in one write"),
            Self::Shapeless(key) => write!(f, "{key} is not written as an object"),
            Self::Gone { asked, oldest } => write!(f, "revision {asked} is no longer kept; the oldest is {oldest}"),
            Self::NoRevision { asked, latest } => write!(f, "there is no revision {asked}; the latest is {latest}"),
            Self::InUse(directory) => {
                write!(f, "the state directory {directory} is in use by another process; each `ninon serve` needs its own --state-dir")
            }
            Self::Disk(problem) => write!(f, "the state directory cannot be written or read: {problem}"),
            Self::Etcd(problem) => write!(f, "etcd: {problem}"),
            Self::TooLarge(problem) => write!(f, "this is more than etcd takes in one write ({problem}); write it in parts"),
            Self::Full(what) => write!(f, "there are as many {what} as may be"),
            Self::Busy => f.write_str("other control planes write all the time; try again"),
            Self::Closed => f.write_str("the store is closing"),
        }
    }
}

impl std::error::Error for StoreError {}
