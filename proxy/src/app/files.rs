use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use crate::config::source::ResourceFile;
use crate::settings::file;
use crate::task::OwnedTask;
use crate::xds::invalid::Faults;
use crate::xds::resource::Kind;
use crate::xds::resource_file::{self, Content};

/// A folder that cannot be watched is tried again so often.
const RETRY: Duration = Duration::from_secs(5);
/// How long a read may take: the control plane is followed after it.
const READ_LIMIT: Duration = Duration::from_secs(10);
/// Room for some events at a time.
const EVENTS: usize = 4096;

/// Files of resources. Their folders are watched rather than they: a file is changed by another that takes its place, or by a link
/// that leads elsewhere (as Kubernetes mounts a ConfigMap).
pub(super) struct Files {
    events: AsyncFd<OwnedFd>,
    /// Folders, and the number of each one's watch; `None` where there is none yet.
    folders: BTreeMap<Arc<Path>, Option<i32>>,
    files: BTreeMap<(Kind, ResourceFile), Known>,
    /// When folders without a watch are tried again.
    retry: Instant,
}

/// What is known of a file.
#[derive(Default)]
struct Known {
    /// What was wrong when it was read last: it is told once.
    fault: Option<String>,
    /// Folders that it is read again for beside its own.
    folders: BTreeSet<Arc<Path>>,
}

impl Files {
    /// Nothing is watched yet.
    #[expect(unsafe_code, reason = "the runtime has no safe way to wait for a descriptor that is no socket")]
    pub(super) fn new() -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // SAFETY: an `OwnedFd` gives the same open descriptor as long as it lives, and `AsyncFd` owns it.
        let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }?;
        Ok(Self { events, folders: BTreeMap::new(), files: BTreeMap::new(), retry: Instant::now() })
    }

    /// Stops watching files that are not referred to any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(Kind, &ResourceFile) -> bool) {
        self.files.retain(|(kind, file), _| is_wanted(*kind, file));
        let files = &self.files;
        let events = &self.events;
        self.folders.retain(|folder, watch| {
            let is_wanted = files.iter().any(|((_, file), known)| is_of(folder, file, known));
            if let (false, Some(watch)) = (is_wanted, watch) {
                // Gone already, if the folder is.
                let _removed = inotify::remove_watch(events, *watch).is_ok();
            }
            is_wanted
        });
    }

    /// Watches a file from now on, and reads it. `None` when it cannot be used, which is told.
    pub(super) async fn read(&mut self, kind: Kind, file: &ResourceFile) -> Option<Content> {
        // Watched first: no change is missed between the two.
        self.begin(&file.folder);
        let path = Arc::clone(&file.path);
        let read = tokio::time::timeout(READ_LIMIT, OwnedTask::blocking(move || parse(kind, &path)).join()).await;
        let read = match read {
            Ok(read) => read.unwrap_or_else(|| Err(Faults::one("the reader failed"))),
            Err(_) => Err(Faults::one(format_args!("reading took longer than {}s", READ_LIMIT.as_secs()))),
        };
        let mut known = self.files.remove(&(kind, file.clone())).unwrap_or_default();
        match &read {
            Ok(content) => {
                // Before anybody reads what is in them.
                content.folders.iter().for_each(|folder| self.begin(folder));
                known = Known { fault: None, folders: content.folders.clone() };
            }
            Err(faults) => {
                let fault = faults.to_string();
                if known.fault.as_ref() != Some(&fault) {
                    tracing::warn!(path = %file.path.display(), %kind, %fault, "the file is not used; what was good before stays");
                }
                known.fault = Some(fault);
            }
        }
        self.files.insert((kind, file.clone()), known);
        read.ok()
    }

    fn begin(&mut self, folder: &Arc<Path>) {
        if !self.folders.contains_key(folder) {
            let watch = self.watch(folder);
            let watch = watch.inspect_err(|error| tracing::warn!(folder = %folder.display(), %error, "the folder cannot be watched"));
            self.folders.insert(Arc::clone(folder), watch.ok());
        }
    }

    /// Waits for a folder to change; the files that are watched there.
    pub(super) async fn changed(&mut self) -> Vec<(Kind, ResourceFile)> {
        loop {
            let unwatched = self.folders.values().any(Option::is_none);
            let folders = tokio::select! {
                folders = changed_folders(&self.events, &mut self.folders) => folders,
                () = tokio::time::sleep_until(self.retry), if unwatched => self.watch_again(),
            };
            let has_changed =
                |((_, file), known): &(&(Kind, ResourceFile), &Known)| folders.iter().any(|folder| is_of(folder, file, known));
            let changed: Vec<_> = self.files.iter().filter(has_changed).map(|(file, _)| file.clone()).collect();
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    fn watch(&self, folder: &Path) -> io::Result<i32> {
        let flags = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        Ok(inotify::add_watch(&self.events, folder, flags | WatchFlags::ONLYDIR)?)
    }

    /// Tries folders that are not watched; those that are now may have changed since.
    fn watch_again(&mut self) -> BTreeSet<Arc<Path>> {
        self.retry = Instant::now() + RETRY;
        let missing: Vec<Arc<Path>> =
            self.folders.iter().filter(|(_, watch)| watch.is_none()).map(|(folder, _)| Arc::clone(folder)).collect();
        let mut watched = BTreeSet::new();
        for folder in missing {
            let watch = self.watch(&folder).ok();
            if watch.is_some() {
                tracing::info!(folder = %folder.display(), "the folder is watched");
                watched.insert(Arc::clone(&folder));
            }
            self.folders.insert(folder, watch);
        }
        watched
    }
}

/// Whether a file is read again when a folder changes.
fn is_of(folder: &Arc<Path>, file: &ResourceFile, known: &Known) -> bool {
    file.folder == *folder || known.folders.contains(folder)
}

fn parse(kind: Kind, path: &Path) -> Result<Content, Faults> {
    // It was a file when it was named; opening a pipe in its place would wait for a writer.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Faults::one(format_args!("{} is not a file", path.display())));
    }
    let (content, warnings) = resource_file::parse(kind, &file::read_json(path)?)?;
    for warning in warnings {
        tracing::debug!(path = %path.display(), %warning, "accepted, but");
    }
    Ok(content)
}

/// Waits for events; the folders in which something has changed. A folder that is gone loses its watch.
async fn changed_folders(events: &AsyncFd<OwnedFd>, folders: &mut BTreeMap<Arc<Path>, Option<i32>>) -> BTreeSet<Arc<Path>> {
    let mut changed = BTreeSet::new();
    while changed.is_empty() {
        let Ok(mut ready) = events.readable().await else { std::future::pending().await };
        let mut room = [const { MaybeUninit::<u8>::uninit() }; EVENTS];
        let mut reader = inotify::Reader::new(events, &mut room);
        loop {
            let Ok(event) = reader.next() else {
                ready.clear_ready();
                break;
            };
            let is_lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            let is_gone =
                event.events().intersects(ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT);
            for (folder, watch) in folders.iter_mut().filter(|(_, watch)| is_lost || **watch == Some(event.wd())) {
                changed.insert(Arc::clone(folder));
                if is_gone && watch.take().is_some() {
                    tracing::warn!(folder = %folder.display(), "the folder is gone; what was good there stays");
                }
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ninon-files-{}-{name}", std::process::id()));
            let _absent = fs::remove_dir_all(&path).is_err();
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, version: u32) {
            fs::write(self.0.join("new"), format!("{{version_info: '{version}'}}")).unwrap();
            fs::rename(self.0.join("new"), self.0.join("cds.yaml")).unwrap();
        }

        fn file(&self) -> ResourceFile {
            ResourceFile::new(self.0.join("cds.yaml").to_str().unwrap(), None)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _removed = fs::remove_dir_all(&self.0);
        }
    }

    async fn next(files: &mut Files, file: &ResourceFile) -> Option<String> {
        let changed = tokio::time::timeout(LIMIT, files.changed()).await.expect("a change");
        assert_eq!(changed, [(Kind::Cluster, file.clone())]);
        files.read(Kind::Cluster, file).await.map(|content| content.version)
    }

    fn here(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(tokio::runtime::LocalOptions::default());
        runtime.unwrap().block_on(test);
    }

    #[test]
    fn a_file_that_is_replaced_is_read_again() {
        here(async {
            let folder = Folder::new("replaced");
            folder.write(1);
            let (mut files, file) = (Files::new().unwrap(), folder.file());
            assert_eq!(files.read(Kind::Cluster, &file).await.unwrap().version, "1");
            folder.write(2);
            // The other file was written and moved: both are changes, and both lead to the same.
            assert_eq!(next(&mut files, &file).await.as_deref(), Some("2"));
            fs::write(&file.path, "{").unwrap();
            while next(&mut files, &file).await.is_some() {}
            assert!(files.files.values().all(|known| known.fault.is_some()), "what is wrong is known");
            folder.write(3);
            while next(&mut files, &file).await.as_deref() != Some("3") {}
        });
    }

    #[test]
    fn a_pipe_in_place_of_a_file_does_not_hold_up_the_rest() {
        here(async {
            let folder = Folder::new("pipe");
            folder.write(1);
            let (mut files, file) = (Files::new().unwrap(), folder.file());
            files.read(Kind::Cluster, &file).await.unwrap();
            fs::remove_file(&file.path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&*file.path).status().unwrap().success());
            assert_eq!(next(&mut files, &file).await, None);
            assert!(files.files.values().all(|known| known.fault.as_ref().is_some_and(|fault| fault.ends_with("is not a file"))));
        });
    }

    #[test]
    fn a_folder_that_comes_back_is_watched_again() {
        here(async {
            let folder = Folder::new("back");
            folder.write(1);
            let (mut files, file) = (Files::new().unwrap(), folder.file());
            files.read(Kind::Cluster, &file).await.unwrap();
            fs::remove_dir_all(&folder.0).unwrap();
            assert_eq!(next(&mut files, &file).await, None);
            fs::create_dir_all(&folder.0).unwrap();
            folder.write(2);
            while next(&mut files, &file).await.as_deref() != Some("2") {}
            assert!(files.folders.values().all(Option::is_some));
            files.retain(|_, _| false);
            assert!(files.folders.is_empty() && files.files.is_empty());
        });
    }
}
