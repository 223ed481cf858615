use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ninon_tests::settings;

/// The Go program, built from its source as it is now. Go builds what has changed since it last did; the first time, some minutes.
pub(super) fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> PathBuf {
    let go = settings::go_binary();
    let this = std::env::current_exe().expect("the running test has a path");
    let program = this.parent().and_then(Path::parent).expect("cargo's folder").join("go-control-plane");
    let mut command = Command::new(&go);
    command.args(["build", "-trimpath", "-o"]).arg(&program).arg(".");
    command.current_dir(settings::tests_dir().join("xds/go-control-plane"));
    // With this Go, and with the versions of go.mod and go.sum.
    command.envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly"), ("CGO_ENABLED", "0")]);
    match command.output() {
        Ok(output) if output.status.success() => program,
        Ok(output) => panic!("go build: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            panic!("go-control-plane is not tested without Go 1.26 or later ({}: {error}); GO_BIN says where it is", go.display())
        }
    }
}
