//! The file of the embedded home: objects, revisions, and which revisions concern an object.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, DatabaseError, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};

use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::store::embedded::FIRST;
use crate::store::error::StoreError;
use crate::store::object::Object;
use crate::store::records::{Kept, Shelf, Wrote};
use crate::store::revision::Revision;

/// Kind (in the plural), namespace, name.
type Row = (&'static str, &'static str, &'static str);

const OBJECTS: TableDefinition<'_, Row, &str> = TableDefinition::new("objects");
const REVISIONS: TableDefinition<'_, u64, &str> = TableDefinition::new("revisions");
/// An object, and a revision that concerns it.
const CONCERNED: TableDefinition<'_, (&str, &str, &str, u64), ()> = TableDefinition::new("concerned");
/// Shelf, name.
const RECORDS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("records");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// The latest revision.
const LATEST: &str = "latest";
/// The latest revision that is no longer kept.
const FORGOTTEN: &str = "forgotten";
/// Bytes of the revisions that are kept.
const BYTES: &str = "revision bytes";
/// The shape of these tables.
const SHAPE: &str = "shape";
const SHAPE_HERE: u64 = 1;

const FILE: &str = "objects.redb";
/// Reads are answered from memory; the file is read at the start and for history.
const CACHE: usize = 8 << 20;

/// The file. It is opened again after a failure, because what was being written is in doubt until it is read again.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    open: Mutex<Option<Arc<Database>>>,
    closed: AtomicBool,
}

/// What is on disk.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) latest: u64,
    pub(super) objects: Vec<(Key, Object)>,
    pub(super) records: Vec<Wrote>,
}

impl Disk {
    /// Opens the file in a directory, or makes both.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        if !directory.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| at(directory, &error))?;
        }
        let disk = Self { path: directory.join(FILE), open: Mutex::default(), closed: AtomicBool::new(false) };
        let database = disk.database()?;
        std::fs::set_permissions(&disk.path, Permissions::from_mode(0o600)).map_err(|error| at(&disk.path, &error))?;
        disk.write(|write| {
            write.open_table(OBJECTS).map_err(failed)?;
            write.open_table(REVISIONS).map_err(failed)?;
            write.open_table(CONCERNED).map_err(failed)?;
            write.open_table(RECORDS).map_err(failed)?;
            let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
            let shape = numbers.get(SHAPE).map_err(failed)?.map(|shape| shape.value());
            match shape {
                None => numbers.insert(SHAPE, SHAPE_HERE).map(drop).map_err(failed),
                Some(SHAPE_HERE) => Ok(()),
                Some(other) => Err(StoreError::Disk(format!("{} is of another version of ninon (shape {other})", disk.path.display()))),
            }
        })?;
        drop(database);
        Ok(disk)
    }

    /// Everything but the history.
    pub(super) fn load(&self) -> Result<Loaded, StoreError> {
        self.read(|read| {
            let latest = read.open_table(NUMBERS).map_err(failed)?.get(LATEST).map_err(failed)?.map_or(0, |latest| latest.value());
            let mut objects = Vec::new();
            for row in read.open_table(OBJECTS).map_err(failed)?.iter().map_err(failed)? {
                let (key, text) = row.map_err(failed)?;
                let (kind, namespace, name) = key.value();
                // A kind of a later version is kept, and not shown.
                let Some(kind) = Kind::of_word(kind) else { continue };
                let object = Object::read(text.value()).ok_or_else(|| damaged(&format!("{kind} {namespace}/{name}")))?;
                objects.push((Key { kind, name: Name::new(namespace, name) }, object));
            }
            let mut records = Vec::new();
            for row in read.open_table(RECORDS).map_err(failed)?.iter().map_err(failed)? {
                let (key, text) = row.map_err(failed)?;
                let (shelf, key) = key.value();
                let Some(shelf) = Shelf::of_word(shelf) else { continue };
                records.push(Wrote { shelf, key: key.into(), kept: Some(Kept { text: text.value().into(), version: FIRST }) });
            }
            Ok(Loaded { latest, objects, records })
        })
    }

    /// Revisions before `before`, newest first.
    pub(super) fn history(&self, of: Option<&Key>, before: u64, most: usize) -> Result<Vec<Arc<Revision>>, StoreError> {
        self.read(|read| {
            let revisions = read.open_table(REVISIONS).map_err(failed)?;
            let mut found = Vec::new();
            if let Some(key) = of {
                let (kind, namespace, name) = row(key);
                let concerned = read.open_table(CONCERNED).map_err(failed)?;
                for at in concerned.range((kind, namespace, name, 0)..(kind, namespace, name, before)).map_err(failed)?.rev().take(most) {
                    let number = at.map_err(failed)?.0.value().3;
                    if let Some(text) = revisions.get(number).map_err(failed)? {
                        found.push(Arc::new(revision(number, text.value())?));
                    }
                }
            } else {
                for at in revisions.range(..before).map_err(failed)?.rev().take(most) {
                    let (number, text) = at.map_err(failed)?;
                    found.push(Arc::new(revision(number.value(), text.value())?));
                }
            }
            Ok(found)
        })
    }

    /// One revision; none when it is not kept.
    pub(super) fn revision(&self, number: u64) -> Result<Option<Arc<Revision>>, StoreError> {
        self.read(|read| {
            let revisions = read.open_table(REVISIONS).map_err(failed)?;
            let found = revisions.get(number).map_err(failed)?;
            found.map(|text| revision(number, text.value()).map(Arc::new)).transpose()
        })
    }

    /// The latest revision that is no longer kept.
    pub(super) fn forgotten(&self) -> Result<u64, StoreError> {
        self.read(|read| Ok(read.open_table(NUMBERS).map_err(failed)?.get(FORGOTTEN).map_err(failed)?.map_or(0, |number| number.value())))
    }

    /// Does what `work` does, all of it or nothing; afterwards it is on disk.
    pub(super) fn write<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let done = self.database().and_then(|database| {
            let mut write = database.begin_write().map_err(failed)?;
            write.set_durability(Durability::Immediate).map_err(failed)?;
            let done = work(&write)?;
            write.commit().map_err(failed)?;
            Ok(done)
        });
        self.close_if_failed(done)
    }

    fn read<T>(&self, work: impl FnOnce(&redb::ReadTransaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let done = self.database().and_then(|database| work(&database.begin_read().map_err(failed)?));
        self.close_if_failed(done)
    }

    fn close_if_failed<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if matches!(done, Err(StoreError::Disk(_))) || self.is_closed() {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    /// Lets go of the file after the transaction of this moment, for good.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*open {
            return Ok(Arc::clone(database));
        }
        let directory = || self.path.parent().unwrap_or(&self.path).display().to_string();
        let database = Database::builder().set_cache_size(CACHE).create(&self.path).map_err(|error| {
            if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
                return StoreError::InUse(directory());
            }
            StoreError::Disk(format!("{}: {error}", self.path.display()))
        })?;
        let database = Arc::new(database);
        *open = Some(Arc::clone(&database));
        Ok(database)
    }
}

/// Adds a revision to what is written, and forgets the oldest of those that are more than are to be kept.
pub(super) fn add(write: &WriteTransaction, new: &Revision, most: u64, most_bytes: u64) -> Result<(), StoreError> {
    let text = new.text();
    let mut objects = write.open_table(OBJECTS).map_err(failed)?;
    let mut concerned = write.open_table(CONCERNED).map_err(failed)?;
    for change in &new.changes {
        let (kind, namespace, name) = row(&change.key);
        match &change.after {
            Some(object) => objects.insert((kind, namespace, name), object.text()).map(drop).map_err(failed)?,
            None => objects.remove((kind, namespace, name)).map(drop).map_err(failed)?,
        }
        concerned.insert((kind, namespace, name, new.number), ()).map_err(failed)?;
    }
    let mut revisions = write.open_table(REVISIONS).map_err(failed)?;
    revisions.insert(new.number, text.as_str()).map_err(failed)?;
    let mut numbers = write.open_table(NUMBERS).map_err(failed)?;
    let number = |name: &str| Ok::<_, StoreError>(numbers.get(name).map_err(failed)?.map_or(0, |number| number.value()));
    let (mut bytes, mut forgotten) = (number(BYTES)? + length(&text), number(FORGOTTEN)?);
    while forgotten + 1 < new.number && (new.number - forgotten > most || bytes > most_bytes) {
        forgotten += 1;
        let Some(text) = revisions.remove(forgotten).map_err(failed)?.map(|text| text.value().to_owned()) else { continue };
        bytes = bytes.saturating_sub(length(&text));
        for change in revision(forgotten, &text)?.changes {
            let (kind, namespace, name) = row(&change.key);
            concerned.remove((kind, namespace, name, forgotten)).map_err(failed)?;
        }
    }
    for (name, value) in [(LATEST, new.number), (FORGOTTEN, forgotten), (BYTES, bytes)] {
        numbers.insert(name, value).map_err(failed)?;
    }
    Ok(())
}

/// Writes a record, or takes it away.
pub(super) fn put(write: &WriteTransaction, shelf: Shelf, key: &str, text: Option<&str>) -> Result<(), StoreError> {
    let mut records = write.open_table(RECORDS).map_err(failed)?;
    match text {
        Some(text) => records.insert((shelf.as_str(), key), text).map(drop).map_err(failed),
        None => records.remove((shelf.as_str(), key)).map(drop).map_err(failed),
    }
}

/// The latest revision and the latest forgotten one, as this write sees them.
pub(super) fn numbers(write: &WriteTransaction) -> Result<(u64, u64), StoreError> {
    let numbers = write.open_table(NUMBERS).map_err(failed)?;
    let number = |name: &str| Ok::<_, StoreError>(numbers.get(name).map_err(failed)?.map_or(0, |number| number.value()));
    Ok((number(LATEST)?, number(FORGOTTEN)?))
}

/// The revisions after `since`, oldest first, as this write sees them.
pub(super) fn revisions_after(write: &WriteTransaction, since: u64) -> Result<Vec<Revision>, StoreError> {
    let revisions = write.open_table(REVISIONS).map_err(failed)?;
    let rows = revisions.range(since + 1..).map_err(failed)?;
    rows.map(|at| at.map_err(failed).and_then(|(number, text)| revision(number.value(), text.value()))).collect()
}

fn row(key: &Key) -> (&'static str, &str, &str) {
    (key.kind.plural(), &key.name.namespace, &key.name.name)
}

fn revision(number: u64, text: &str) -> Result<Revision, StoreError> {
    Revision::read(number, text).ok_or_else(|| damaged(&format!("revision {number}")))
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn damaged(what: &str) -> StoreError {
    StoreError::Disk(format!("{what} cannot be read: the file is damaged"))
}

fn at(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Disk(format!("{}: {error}", path.display()))
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Disk(error.into().to_string())
}
