//! How Envoy is found and started.

use crate::settings;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `envoy -c FILE`, with one worker and nothing that is not under test.
pub fn command(bootstrap: &Path) -> Command {
    let mut command = Command::new(binary());
    command.arg("-c").arg(bootstrap);
    command.args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"]);
    // Access logs are written at once, so that no case waits the usual ten seconds.
    command.args(["--file-flush-interval-msec", "20"]);
    command
}

/// `envoy --mode validate -c FILE`.
pub fn validate_command(bootstrap: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(["--mode", "validate", "-l", "error", "-c"]).arg(bootstrap);
    command
}

/// The program itself: what `pip` puts into `bin/` is a Python script that costs more to start than Envoy.
pub fn binary() -> PathBuf {
    let found = settings::envoy_binary();
    let lib = found.parent().and_then(Path::parent).map(|venv| venv.join("lib"));
    let pythons = lib.and_then(|lib| std::fs::read_dir(lib).ok()).into_iter().flatten().flatten();
    let real = pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy")).find(|path| path.exists());
    real.unwrap_or(found)
}
