//! Files that hold resources.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A file with resources of one type, read again whenever its folder says that something has changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceFile {
    /// Where it is.
    pub path: Arc<Path>,
    /// The folder that is watched for it.
    pub folder: Arc<Path>,
}

impl ResourceFile {
    /// `folder` is the one that the file is in, unless another is to be watched.
    pub fn new(path: &str, folder: Option<&str>) -> Self {
        let path = PathBuf::from(path);
        let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = folder.map_or_else(|| beside.into(), |folder| Path::new(folder).into());
        Self { path: path.into(), folder }
    }
}

/// All resources of a type that there are for this proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The file that has them; `None` is the aggregated stream.
    pub file: Option<ResourceFile>,
    /// How long they are waited for; `None` is for ever.
    pub limit: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_file_is_watched_unless_another_is_named() {
        let folder = |path, folder| ResourceFile::new(path, folder).folder.display().to_string();
        assert_eq!(folder("/etc/ninon/cds.yaml", None), "/etc/ninon");
        assert_eq!(folder("cds.yaml", None), ".");
        assert_eq!(folder("/etc/ninon/..data/cds.yaml", Some("/etc/ninon")), "/etc/ninon");
    }
}
