//! The differential suite a second time: what stood in the bootstrap file comes from an xDS server. See `differential/README.md`.

use ninon_tests::delivery::Delivery;
use std::process::ExitCode;

fn main() -> ExitCode {
    ninon_tests::suite::main(Delivery::xds)
}
