//! Programs of the tests that are written in Go, built from their source as it is now.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::settings;

/// Builds the program in a folder of the tests. Go builds what has changed since it last did; the first time, some minutes.
pub fn built(folder: &str, name: &str) -> PathBuf {
    let go = settings::go_binary();
    let this = std::env::current_exe().expect("the running test has a path");
    let program = this.parent().and_then(Path::parent).expect("cargo's folder").join(name);
    let mut command = Command::new(&go);
    command.args(["build", "-trimpath", "-o"]).arg(&program).arg(".");
    command.current_dir(settings::tests_dir().join(folder));
    // With this Go, and with the versions of go.mod and go.sum.
    command.envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly"), ("CGO_ENABLED", "0")]);
    match command.output() {
        Ok(output) if output.status.success() => program,
        Ok(output) => panic!("go build: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("{name} is not tested without Go 1.26 or later ({}: {error}); GO_BIN says where it is", go.display()),
    }
}
