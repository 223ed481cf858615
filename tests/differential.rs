//! The differential suite: each case against Envoy and against ninon-proxy, compared. See `differential/README.md`.

use ninon_tests::delivery::Delivery;
use std::process::ExitCode;

fn main() -> ExitCode {
    ninon_tests::suite::main(|_| Delivery::File)
}
