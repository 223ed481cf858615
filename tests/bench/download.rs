//! A large download through a proxy that passes TCP on.

use crate::subject::LARGE_BYTES;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A proxy that moves nothing for so long has failed.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// Bytes per measurement.
pub const TOTAL_BYTES: u64 = 1024 * 1024 * 1024;

/// Fetches `/large` until [`TOTAL_BYTES`] have come, over one connection after another.
pub fn run(port: u16) -> Result<(), String> {
    let mut buffer = vec![0; 256 * 1024];
    for _ in 0..TOTAL_BYTES / LARGE_BYTES {
        fetch(port, &mut buffer)?;
    }
    Ok(())
}

fn fetch(port: u16, buffer: &mut [u8]) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("downloading: {e}");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.set_read_timeout(Some(STALL_LIMIT)).map_err(failed)?;
    stream.write_all(b"GET /large HTTP/1.0\r\nhost: bench\r\n\r\n").map_err(failed)?;
    let mut got = 0;
    loop {
        match stream.read(buffer).map_err(failed)? {
            0 if got > LARGE_BYTES => return Ok(()),
            0 => return Err(format!("the download ended after {got} bytes")),
            count => got += u64::try_from(count).map_err(|e| e.to_string())?,
        }
    }
}
