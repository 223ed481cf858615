use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

/// Where a connection arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// At this port of this machine.
    At(u16),
    /// At another machine.
    Somewhere,
    /// It did not come about.
    Nowhere(String),
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(port) => write!(f, "it arrived at port {port} of this machine"),
            Self::Somewhere => f.write_str("it arrived at another machine"),
            Self::Nowhere(why) => write!(f, "it did not come about ({why})"),
        }
    }
}

/// Connects, as another user where one is named, and looks for the other end.
pub(super) fn arrival(to: SocketAddr, user: Option<u32>, limit: Duration) -> Result<Arrival, String> {
    // Credentials are a thread's: this one ends with the connection made.
    let dialled = thread::spawn(move || {
        if let Some(user) = user {
            let user = Uid::from_raw(user);
            set_thread_res_uid(user, user, user).map_err(|error| format!("becoming user {}: {error}", user.as_raw()))?;
        }
        Ok::<_, String>(TcpStream::connect_timeout(&to, limit))
    });
    let dialled = dialled.join().map_err(|_| "a thread failed".to_owned())?;
    let stream: TcpStream = match dialled? {
        Ok(stream) => stream,
        Err(error) => return Ok(Arrival::Nowhere(error.to_string())),
    };
    let own = stream.local_addr().map_err(|error| format!("its own address: {error}"))?;
    let sockets = ["tcp", "tcp6"].map(|list| fs::read_to_string(format!("/proc/self/net/{list}")).unwrap_or_default());
    let port = sockets.iter().flat_map(|list| list.lines()).filter_map(row).find(|(_, remote)| same(*remote, own));
    Ok(port.map_or(Arrival::Somewhere, |(local, _)| Arrival::At(local.port())))
}

fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
}

/// Both addresses of a row of `/proc/net/tcp` or `/proc/net/tcp6`.
fn row(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut columns = line.split_whitespace().skip(1);
    Some((address(columns.next()?)?, address(columns.next()?)?))
}

/// Words of 32 bits in the machine's order, in hexadecimal: 0100007F:3A99 is 127.0.0.1:15001 on x86-64.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = (0..ip.len()).step_by(8).map(|at| u32::from_str_radix(ip.get(at..at.checked_add(8)?)?, 16).ok());
    let words: Vec<[u8; 4]> = words.map(|word| word.map(u32::to_ne_bytes)).collect::<Option<_>>()?;
    let ip: IpAddr = match words.as_slice() {
        [word] => Ipv4Addr::from(*word).into(),
        [_, _, _, _] => Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn rows_of_the_kernels_lists_are_read() {
        let line = "   0: 0100007F:3A99 0200A8C0:D431 01 00000000:00000000 00:00000000 00000000     0        0 1 1";
        let (local, remote) = row(line).unwrap();
        assert_eq!((local, remote), ("127.0.0.1:15001".parse().unwrap(), "192.168.0.2:54321".parse().unwrap()));
        let line = "   0: 00000000000000000000000001000000:3A99 0000000000000000FFFF00000200A8C0:D431 01";
        let (local, remote) = row(line).unwrap();
        assert_eq!(local, "[::1]:15001".parse().unwrap());
        assert!(same(remote, "192.168.0.2:54321".parse().unwrap()));
        for bad in [
            "",
            "  sl  local_address rem_address   st",
            "0: 7F:1 7F:1",
            "0: 0100007F:GGGG 0100007F:1",
            "0: 0100007F 0100007F",
            "0: é00007F:1 x",
        ] {
            assert_eq!(row(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_connection_is_found_where_it_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(arrival(address, None, Duration::from_secs(5)), Ok(Arrival::At(address.port())));
        drop(listener);
        assert!(matches!(arrival(address, None, Duration::from_secs(5)), Ok(Arrival::Nowhere(_))));
    }
}
