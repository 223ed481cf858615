use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ninon_tests::go;

/// The Go program.
pub(super) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| go::built("xds/go-control-plane", "go-control-plane"))
}
