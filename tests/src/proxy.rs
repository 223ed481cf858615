//! How ninon-proxy is found and started.

use crate::settings;
use std::path::Path;
use std::process::Command;

/// `ninon-proxy run -c FILE` with one worker, as Envoy gets one.
pub fn command(bootstrap: &Path) -> Command {
    let mut command = Command::new(settings::ninon_binary());
    command.arg("run").arg("-c").arg(bootstrap).args(["--workers", "1"]);
    command
}

/// `ninon-proxy validate -c FILE`.
pub fn validate_command(bootstrap: &Path) -> Command {
    let mut command = Command::new(settings::ninon_binary());
    command.arg("validate").arg("-c").arg(bootstrap);
    command
}
