//! What passes a network device, byte for byte.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::network::Host;

/// All protocols (`ETH_P_ALL`).
const EVERYTHING: u16 = 0x0003;
/// Larger than any frame: segments that the kernel has put together are up to 64 KiB.
const LARGEST: usize = 128 * 1024;
/// The kernel's queue; it holds what passes while the reader is elsewhere.
const QUEUE: usize = 32 * 1024 * 1024;
const ROUND: Duration = Duration::from_millis(20);

/// From, to.
pub type Ends = (SocketAddr, SocketAddr);

/// A capture that goes on until [`Self::stop`].
pub struct Capture {
    over: Arc<AtomicBool>,
    reader: Option<JoinHandle<Captured>>,
}

/// What was captured.
#[derive(Debug, Default)]
pub struct Captured {
    frames: Vec<Vec<u8>>,
}

impl Capture {
    /// Begins to capture what a device of a host sends and receives. From its return on, nothing is missed.
    pub fn start(host: &Host, device: &str) -> Self {
        let socket = host.inside(|| open(device));
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let reader = std::thread::spawn(move || read(socket, &told));
        Self { over, reader: Some(reader) }
    }

    /// Ends it, behind the last frame that has passed.
    pub fn stop(mut self) -> Captured {
        self.over.store(true, Ordering::Release);
        let reader = self.reader.take().expect("it is stopped once");
        reader.join().expect("the reader does not panic")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

fn open(device: &str) -> Socket {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(EVERYTHING.to_be())))).expect("root may capture");
    let index = name_to_index(&socket, device).unwrap_or_else(|error| panic!("the device {device}: {error}"));
    // As much of it as the system allows (`net.core.rmem_max`).
    socket.set_recv_buffer_size(QUEUE).expect("a large queue");
    socket.attach_filter(&of_device(index)).expect("the filter is good");
    socket.set_nonblocking(true).expect("a socket");
    // What came before the filter was there may be of other devices.
    let mut scratch = vec![0; LARGEST];
    while (&socket).read(&mut scratch).is_ok() {}
    socket.set_nonblocking(false).expect("a socket");
    socket.set_read_timeout(Some(ROUND)).expect("a socket");
    socket
}

/// Takes the frames of one device whole, and no others (`linux/filter.h`).
fn of_device(index: u32) -> [SockFilter; 4] {
    const LOAD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// `SKF_AD_OFF + SKF_AD_IFINDEX`.
    const DEVICE: u32 = (-0x1000_i32 + 8).cast_unsigned();
    [
        SockFilter::new(LOAD, 0, 0, DEVICE),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, index),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

fn read(socket: Socket, over: &AtomicBool) -> Captured {
    let mut captured = Captured::default();
    let mut buffer = vec![0; LARGEST];
    loop {
        // Asked before reading: what passed until it was told is in the queue, and is read in this round or a later one.
        let last = over.load(Ordering::Acquire);
        match (&socket).read(&mut buffer) {
            Ok(length) => captured.frames.push(buffer[..length].to_vec()),
            Err(_) if last => return captured,
            Err(_) => {}
        }
    }
}

impl Captured {
    /// How many frames there were.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Whether these bytes passed, in one frame or over several of one TCP connection.
    pub fn holds(&self, marker: &[u8]) -> bool {
        self.frames.iter().any(|frame| find(frame, marker)) || self.flows().values().any(|bytes| find(bytes, marker))
    }

    /// TCP connections that carried bytes, each direction by itself: from, to, the bytes in order.
    pub fn flows(&self) -> BTreeMap<Ends, Vec<u8>> {
        let mut segments: BTreeMap<Ends, Vec<(u32, &[u8])>> = BTreeMap::new();
        for segment in self.frames.iter().filter_map(|frame| segment(frame)).filter(|segment| !segment.bytes.is_empty()) {
            segments.entry((segment.from, segment.to)).or_default().push((segment.sequence, segment.bytes));
        }
        segments.into_iter().map(|(ends, segments)| (ends, in_order(segments))).collect()
    }
}

/// Bytes by sequence number. What was sent again is taken once, what is missing is left out.
fn in_order(mut segments: Vec<(u32, &[u8])>) -> Vec<u8> {
    let first = segments.first().map_or(0, |(sequence, _)| *sequence);
    // The first that was seen need not be the first in order, but is near it.
    let place = |sequence: u32| sequence.wrapping_sub(first).cast_signed();
    segments.sort_by_key(|(sequence, bytes)| (place(*sequence), bytes.len()));
    let mut ordered = Vec::new();
    let mut next = None;
    for (sequence, bytes) in segments {
        let begins = i64::from(place(sequence));
        let known = next.map_or(0, |next: i64| (next - begins).max(0));
        if let Some(new) = usize::try_from(known).ok().and_then(|known| bytes.get(known..)) {
            ordered.extend_from_slice(new);
            next = Some(begins + i64::try_from(bytes.len()).expect("a segment is small"));
        }
    }
    ordered
}

struct Segment<'a> {
    from: SocketAddr,
    to: SocketAddr,
    sequence: u32,
    bytes: &'a [u8],
}

/// The TCP segment in an Ethernet frame, if it has one.
fn segment(frame: &[u8]) -> Option<Segment<'_>> {
    const TCP: u8 = 6;
    let packet = frame.get(14..)?;
    let (from, to, tcp): (IpAddr, IpAddr, &[u8]) = match (frame.get(12..14)?, packet.first()? >> 4) {
        ([0x08, 0x00], 4) if packet.get(9)? == &TCP => {
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
            (address(12)?.into(), address(16)?.into(), packet.get(header..length.min(packet.len()))?)
        }
        ([0x86, 0xdd], 6) if packet.get(6)? == &TCP => {
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
            let length = 40 + usize::from(u16::from_be_bytes([*packet.get(4)?, *packet.get(5)?]));
            (address(8)?.into(), address(24)?.into(), packet.get(40..length.min(packet.len()))?)
        }
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
    let sequence = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
    let header = usize::from(tcp.get(12)? >> 4) * 4;
    Some(Segment { from: (from, port(0)?).into(), to: (to, port(2)?).into(), sequence, bytes: tcp.get(header..)? })
}

fn find(bytes: &[u8], marker: &[u8]) -> bool {
    !marker.is_empty() && bytes.windows(marker.len()).any(|window| window == marker)
}
