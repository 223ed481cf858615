use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::app::StartError;
use crate::task::OwnedTask;
use crate::xds::cache;
use crate::xds::resource::{Kind, Offered};

/// How soon after a change it is written: several changes of one moment are written together.
const SOON: Duration = Duration::from_secs(1);
/// However often things change, writes are at least this far apart.
const SELDOM: Duration = Duration::from_secs(5);
/// A file larger than this was not written by us.
const LARGEST: u64 = 1 << 30;

/// The last good configuration on disk (`--state-dir`). Secrets are in it: only the proxy's own user may read it.
pub(super) struct Cache {
    folder: PathBuf,
    node: String,
    /// Changes of the inventory that are on disk, or on their way.
    saved: u64,
    due: Option<Instant>,
    last: Option<Instant>,
    writing: Option<OwnedTask<io::Result<()>>>,
    /// The last failure was told.
    told: bool,
}

impl Cache {
    /// Makes the folder where there is none.
    pub(super) fn new(folder: &Path, node: &str) -> Result<Self, StartError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|cause| StartError::State { folder: folder.to_owned(), cause })?;
        Ok(Self { folder: folder.to_owned(), node: node.to_owned(), saved: 0, due: None, last: None, writing: None, told: false })
    }

    /// What an earlier run has left. A file that cannot be used is told of and left alone.
    pub(super) fn load(&self) -> Option<Vec<(Kind, Offered)>> {
        let path = self.file();
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the last good configuration cannot be read");
                return None;
            }
        };
        match cache::open(&bytes, &self.node) {
            Ok(resources) => Some(resources),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the last good configuration is not used");
                None
            }
        }
    }

    /// Notes how often the inventory has changed.
    pub(super) fn note(&mut self, changes: u64) {
        if changes != self.saved && self.due.is_none() {
            let now = Instant::now();
            let earliest = self.last.and_then(|last| last.checked_add(SELDOM));
            self.due = now.checked_add(SOON).map(|soon| earliest.map_or(soon, |earliest| earliest.max(soon)));
        }
    }

    /// Waits until it is time to write, or until something was written; whether it is time.
    pub(super) async fn next(&mut self) -> bool {
        if let Some(writing) = &mut self.writing {
            let written = writing.wait().await;
            self.writing = None;
            self.finish(written.unwrap_or_else(|| Err(io::Error::other("the writer failed"))));
            return false;
        }
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
        true
    }

    /// Writes, beside the caller's work.
    pub(super) fn write(&mut self, changes: u64, collected: Vec<u8>) {
        (self.saved, self.due, self.last) = (changes, None, Some(Instant::now()));
        let path = self.file();
        self.writing = Some(OwnedTask::blocking(move || replace(&path, "new", &cache::seal(&collected))));
    }

    /// Writes, and waits for it: the process ends.
    pub(super) fn write_now(&self, changes: u64, collect: impl FnOnce(&str) -> Vec<u8>) {
        if changes == self.saved && self.writing.is_none() {
            return;
        }
        if let Err(error) = replace(&self.file(), "last", &cache::seal(&collect(&self.node))) {
            tracing::warn!(folder = %self.folder.display(), %error, "the last good configuration cannot be written");
        }
    }

    /// Whose configuration it is.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    fn finish(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => self.told = false,
            Err(error) => {
                // One line for one outage.
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(folder = %self.folder.display(), %error, "the last good configuration cannot be written");
                }
                self.saved = 0;
                self.due = Instant::now().checked_add(SELDOM);
            }
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("resources")
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(LARGEST.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > LARGEST {
        return Err(io::Error::other("it is larger than any configuration"));
    }
    Ok(bytes)
}

/// The old file or the new one, whole, whenever the machine stops. Two writers at once, as when the process ends, have a
/// file each to prepare.
fn replace(path: &Path, extension: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(extension);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ninon-cache-{}-{name}", std::process::id()));
        let _absent = fs::remove_dir_all(&folder).is_err();
        folder
    }

    #[tokio::test]
    async fn nobody_else_may_read_what_is_written() {
        let folder = folder("mode");
        let mut cache = Cache::new(&folder, "me").unwrap();
        assert!(cache.load().is_none());
        cache.write(1, Vec::new());
        assert!(!cache.next().await, "it was written");
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(folder.join("resources")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn changes_of_a_moment_are_written_together_and_writes_are_seldom() {
        let folder = folder("seldom");
        let mut cache = Cache::new(&folder, "me").unwrap();
        let begun = Instant::now();
        cache.note(1);
        cache.note(2);
        assert!(cache.next().await);
        assert_eq!(begun.elapsed(), SOON);
        (cache.saved, cache.due, cache.last) = (2, None, Some(Instant::now()));
        cache.note(2);
        assert!(cache.due.is_none(), "nothing has changed");
        cache.note(3);
        assert!(cache.next().await);
        assert_eq!(begun.elapsed(), SOON + SELDOM);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_takes_nothing_is_tried_again() {
        let folder = folder("full");
        let mut cache = Cache::new(&folder, "me").unwrap();
        fs::remove_dir_all(&folder).unwrap();
        cache.write(1, Vec::new());
        assert!(!cache.next().await);
        assert!(cache.told && cache.due.is_some());
    }
}
