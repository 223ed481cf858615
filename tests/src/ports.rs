//! Ports that nobody else in this run is given.
//!
//! They lie below the kernel's ephemeral range, so that no outgoing connection takes one between choice and use.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port on 127.0.0.1 that is free now and that this process hands out once.
pub fn free() -> u16 {
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two suites at the same time start at different places.
        let start = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
        let offset = (start + u32::from(step)) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("less than COUNT");
        if !is_likely_value(port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// What a run shows has its ports replaced by their names: a port must not be a number that means something else, such as the
/// 15000 milliseconds of a timeout, or a body of `12345`.
fn is_likely_value(port: u16) -> bool {
    port.is_multiple_of(100) || port.is_power_of_two() || port == 12_345
}
