//! Source: haproxy.org, "The PROXY protocol", versions 1 and 2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::listener::ProxyProtocol;
use crate::detect::Verdict;

const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest version 1 line, its end included.
const V1_LIMIT: usize = 107;
/// Signature, version and command, family, length.
const V2_HEAD: usize = 16;
/// Addresses and extensions that are taken; senders use a few hundred.
const V2_LIMIT: usize = 4096;

/// A header that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes.
    pub length: usize,
    /// Source and destination; `None` for `UNKNOWN` and `LOCAL`.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

/// Reads the header at the beginning of `bytes`.
///
/// # Errors
/// The rule that is broken.
pub fn parse(bytes: &[u8], settings: ProxyProtocol) -> Result<Verdict<Header>, &'static str> {
    let starts = |start: &[u8]| bytes.starts_with(start);
    let may_become = |start: &[u8]| start.starts_with(bytes);
    if starts(V2_START) {
        if settings.disallow_v2 {
            return Err("version 2 is not allowed here");
        }
        return version_2(bytes);
    }
    if starts(V1_START) {
        if settings.disallow_v1 {
            return Err("version 1 is not allowed here");
        }
        return version_1(bytes);
    }
    if may_become(V1_START) || may_become(V2_START) {
        return Ok(Verdict::NeedMore);
    }
    if settings.optional { Ok(Verdict::Not) } else { Err("the connection does not begin with a header") }
}

fn version_1(bytes: &[u8]) -> Result<Verdict<Header>, &'static str> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() >= V1_LIMIT { Err("the line is longer than 107 bytes") } else { Ok(Verdict::NeedMore) };
    };
    if end > V1_LIMIT.saturating_sub(2) {
        return Err("the line is longer than 107 bytes");
    }
    let line = bytes.get(V1_START.len()..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or("the line is not text")?;
    let length = end.saturating_add(2);
    let words: Vec<&str> = line.split(' ').collect();
    let addresses = match words.as_slice() {
        ["UNKNOWN", ..] => None,
        [family @ ("TCP4" | "TCP6"), source, destination, source_port, destination_port] => {
            let source = SocketAddr::new(ip(family, source)?, port(source_port)?);
            Some((source, SocketAddr::new(ip(family, destination)?, port(destination_port)?)))
        }
        _ => return Err("the line is not `PROXY TCP4|TCP6 source destination port port`"),
    };
    Ok(Verdict::Is(Header { length, addresses }))
}

fn ip(family: &str, text: &str) -> Result<IpAddr, &'static str> {
    let address: IpAddr = text.parse().map_err(|_| "an address is not an IP address")?;
    if address.is_ipv4() == (family == "TCP4") { Ok(address) } else { Err("an address is not of the family named") }
}

fn port(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or("a port is not between 0 and 65535")
}

fn version_2(bytes: &[u8]) -> Result<Verdict<Header>, &'static str> {
    let Some((head, rest)) = bytes.split_at_checked(V2_HEAD) else { return Ok(Verdict::NeedMore) };
    let [.., version_command, family, high, low] = head else { return Ok(Verdict::NeedMore) };
    let body_length = usize::from(u16::from_be_bytes([*high, *low]));
    if body_length > V2_LIMIT {
        return Err("the header is longer than 4096 bytes");
    }
    if version_command >> 4 != 2 {
        return Err("the version is not 2");
    }
    let Some(body) = rest.get(..body_length) else { return Ok(Verdict::NeedMore) };
    let addresses = match version_command & 0x0f {
        0 => None,
        1 => proxied(*family, body)?,
        _ => return Err("the command is neither LOCAL nor PROXY"),
    };
    Ok(Verdict::Is(Header { length: V2_HEAD.saturating_add(body_length), addresses }))
}

fn proxied(family: u8, body: &[u8]) -> Result<Option<(SocketAddr, SocketAddr)>, &'static str> {
    let short = "the addresses are cut short";
    match family {
        0x11 => {
            let (source, rest) = body.split_first_chunk::<4>().ok_or(short)?;
            let (destination, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
            let (ports, _extensions) = rest.split_first_chunk::<4>().ok_or(short)?;
            Ok(Some(pair(Ipv4Addr::from(*source).into(), Ipv4Addr::from(*destination).into(), *ports)))
        }
        0x21 => {
            let (source, rest) = body.split_first_chunk::<16>().ok_or(short)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            let (ports, _extensions) = rest.split_first_chunk::<4>().ok_or(short)?;
            Ok(Some(pair(Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into(), *ports)))
        }
        // AF_UNSPEC: the addresses are not known; the connection's own are kept.
        0x00 => Ok(None),
        _ => Err("the family is not TCP over IPv4 or IPv6"),
    }
}

fn pair(source: IpAddr, destination: IpAddr, [sh, sl, dh, dl]: [u8; 4]) -> (SocketAddr, SocketAddr) {
    let source = SocketAddr::new(source, u16::from_be_bytes([sh, sl]));
    (source, SocketAddr::new(destination, u16::from_be_bytes([dh, dl])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: ProxyProtocol = ProxyProtocol { optional: false, disallow_v1: false, disallow_v2: false };

    fn addresses(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
        match parse(bytes, ANY) {
            Ok(Verdict::Is(header)) => header.addresses,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn version_1_is_read() {
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET";
        let wanted = ("192.0.2.1:56324".parse().unwrap(), "198.51.100.7:443".parse().unwrap());
        assert_eq!(addresses(header), Some(wanted));
        assert_eq!(addresses(b"PROXY UNKNOWN\r\n"), None);
    }

    #[test]
    fn version_2_is_read_and_extensions_are_skipped() {
        let mut header = V2_START.to_vec();
        header.extend_from_slice(&[0x21, 0x11, 0, 15, 192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb, 4, 0, 0]);
        let wanted = ("192.0.2.1:56324".parse().unwrap(), "198.51.100.7:443".parse().unwrap());
        assert_eq!(addresses(&header), Some(wanted));
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end], ANY), Ok(Verdict::NeedMore), "after {end} bytes");
        }
    }

    #[test]
    fn broken_headers_are_refused() {
        let refused = |bytes: &[u8]| parse(bytes, ANY).unwrap_err();
        assert_eq!(refused(b"GET / HTTP/1.1\r\n"), "the connection does not begin with a header");
        assert_eq!(refused(b"PROXY TCP4 ::1 ::1 1 2\r\n"), "an address is not of the family named");
        assert_eq!(refused(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 +2\r\n"), "a port is not between 0 and 65535");
        assert_eq!(refused(&[b"PROXY ".as_slice(), &[b'x'; 120]].concat()), "the line is longer than 107 bytes");
        let v2 = |tail: &[u8]| [V2_START, tail].concat();
        assert_eq!(refused(&v2(&[0x21, 0x11, 0, 4, 1, 2, 3, 4])), "the addresses are cut short");
        assert_eq!(refused(&v2(&[0x21, 0x11, 0xff, 0xff])), "the header is longer than 4096 bytes");
        assert_eq!(refused(&v2(&[0x11, 0x11, 0, 0])), "the version is not 2");
    }
}
