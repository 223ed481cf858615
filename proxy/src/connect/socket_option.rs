//! Socket options by number: those that are safe to set on a connection.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::config::address::{SocketOption, SocketOptionValue, TcpKeepalive as Probes};

/// Sets an option. The numbers are Linux's (`asm-generic/socket.h`, `netinet/tcp.h`).
pub(super) fn set(socket: &SockRef<'_>, option: &SocketOption) -> io::Result<()> {
    let value = match &option.value {
        SocketOptionValue::Int(value) => *value,
        SocketOptionValue::Bytes(name) if (option.level, option.name) == (IPPROTO_TCP, libc::TCP_CONGESTION) => {
            return socket.set_tcp_congestion(name);
        }
        SocketOptionValue::Bytes(_) => return Err(unsupported()),
    };
    let unsigned = u32::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let size = usize::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    match (option.level, option.name) {
        (SOL_SOCKET, 2) => socket.set_reuse_address(value != 0),
        (SOL_SOCKET, 7) => socket.set_send_buffer_size(size?),
        (SOL_SOCKET, 8) => socket.set_recv_buffer_size(size?),
        (SOL_SOCKET, 9) => socket.set_keepalive(value != 0),
        (SOL_SOCKET, 36) => socket.set_mark(unsigned?),
        (IPPROTO_IP, 1) => socket.set_tos_v4(unsigned?),
        (IPPROTO_IP, 15) => socket.set_freebind_v4(value != 0),
        (IPPROTO_IP, 19) => socket.set_ip_transparent_v4(value != 0),
        (IPPROTO_TCP, 1) => socket.set_tcp_nodelay(value != 0),
        (IPPROTO_TCP, 4) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(seconds(unsigned?))),
        (IPPROTO_TCP, 5) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_interval(seconds(unsigned?))),
        (IPPROTO_TCP, 6) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_retries(unsigned?)),
        (IPPROTO_TCP, 18) => socket.set_tcp_user_timeout(Some(Duration::from_millis(u64::from(unsigned?)))),
        _ => Err(unsupported()),
    }
}

const SOL_SOCKET: i32 = 1;
const IPPROTO_IP: i32 = 0;
const IPPROTO_TCP: i32 = 6;

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

fn unsupported() -> io::Error {
    io::Error::from(io::ErrorKind::Unsupported)
}

/// Turns probes on.
pub(super) fn set_keepalive(socket: &SockRef<'_>, probes: &Probes) -> io::Result<()> {
    let mut keepalive = TcpKeepalive::new();
    if let Some(count) = probes.probes {
        keepalive = keepalive.with_retries(count);
    }
    if let Some(time) = probes.time {
        keepalive = keepalive.with_time(time);
    }
    if let Some(interval) = probes.interval {
        keepalive = keepalive.with_interval(interval);
    }
    socket.set_keepalive(true)?;
    socket.set_tcp_keepalive(&keepalive)
}
