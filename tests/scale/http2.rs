//! A gRPC stream on a connection of its own: as little of HTTP/2 as that takes, so that thousands of clients cost little.

use std::mem::take;

/// What a client announces, as Envoy does by default: 16 MiB a stream, 24 MiB a connection.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 24 << 20;
/// What both have before anything is announced (RFC 9113, 6.9.2), and the longest frame (6.5.2).
const INITIAL_WINDOW: i64 = 65_535;
const FRAME: usize = 16_384;
/// More room is given when so much was read.
const REFILL: u32 = 4 << 20;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const SETTING_INITIAL_WINDOW: u16 = 4;
const STREAM: u32 = 1;

/// One stream, without its socket.
#[derive(Default)]
pub struct Http2 {
    head: Vec<u8>,
    left: usize,
    control: Vec<u8>,
    message: Message,
    /// Bytes for the socket.
    pub out: Vec<u8>,
    /// Of the request's body, what there is no room for yet.
    queue: Vec<u8>,
    stream_room: i64,
    connection_room: i64,
    initial: i64,
    unconfirmed: u32,
    /// The server has ended it.
    pub is_over: bool,
}

impl Http2 {
    /// Asks for a method.
    pub fn open(path: &str, authority: &str) -> Self {
        let mut this = Self { stream_room: INITIAL_WINDOW, connection_room: INITIAL_WINDOW, initial: INITIAL_WINDOW, ..Self::default() };
        this.out.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let mut settings = SETTING_INITIAL_WINDOW.to_be_bytes().to_vec();
        settings.extend_from_slice(&STREAM_WINDOW.to_be_bytes());
        this.frame(SETTINGS, 0, 0, &settings);
        this.frame(WINDOW_UPDATE, 0, 0, &(CONNECTION_WINDOW - 65_535).to_be_bytes());
        // `:method: POST` and `:scheme: http` of the static table, the others as literals that are not indexed.
        let mut block = vec![0x83, 0x86];
        literal(&mut block, &[0x04], path);
        literal(&mut block, &[0x01], authority);
        literal(&mut block, &[0x0f, 0x10], "application/grpc");
        literal(&mut block, b"\x00\x02te", "trailers");
        this.frame(HEADERS, END_HEADERS, STREAM, &block);
        this
    }

    /// A message of the request.
    pub fn send(&mut self, message: &[u8]) {
        self.queue.push(0);
        self.queue.extend_from_slice(&u32::try_from(message.len()).expect("requests are short").to_be_bytes());
        self.queue.extend_from_slice(message);
        self.write_queue();
    }

    fn write_queue(&mut self) {
        let mut queue = take(&mut self.queue);
        loop {
            let room = usize::try_from(self.stream_room.min(self.connection_room)).unwrap_or(0);
            let len = queue.len().min(room).min(FRAME);
            if len == 0 {
                break;
            }
            self.frame(DATA, 0, STREAM, &queue[..len]);
            queue.drain(..len);
            let written = i64::try_from(len).expect("a frame is short");
            self.stream_room -= written;
            self.connection_room -= written;
        }
        self.queue = queue;
    }

    /// Takes bytes from the socket; the messages of the answer that they complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while !bytes.is_empty() || (self.head.len() == 9 && self.left == 0) {
            if self.head.len() < 9 {
                let more = bytes.len().min(9 - self.head.len());
                self.head.extend_from_slice(&bytes[..more]);
                bytes = &bytes[more..];
                if self.head.len() == 9 {
                    self.left = usize::from(self.head[0]) << 16 | usize::from(self.head[1]) << 8 | usize::from(self.head[2]);
                }
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.left));
            bytes = rest;
            self.left -= part.len();
            if self.head[3] == DATA {
                self.unconfirmed += u32::try_from(part.len()).expect("a part of a frame");
                self.message.feed(part, &mut each);
            } else {
                self.control.extend_from_slice(part);
            }
            if self.left == 0 {
                self.end_of_frame();
            }
        }
    }

    fn end_of_frame(&mut self) {
        let head = take(&mut self.head);
        let payload = take(&mut self.control);
        let (kind, flags) = (head[3], head[4]);
        let is_stream = head[5..9] != [0; 4];
        match kind {
            SETTINGS if flags & ACK == 0 => {
                for setting in payload.as_chunks::<6>().0 {
                    if setting[..2] == SETTING_INITIAL_WINDOW.to_be_bytes() {
                        let initial = i64::from(number(&setting[2..]));
                        self.stream_room += initial - self.initial;
                        self.initial = initial;
                    }
                }
                self.frame(SETTINGS, ACK, 0, &[]);
                self.write_queue();
            }
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload),
            WINDOW_UPDATE => {
                let room = if is_stream { &mut self.stream_room } else { &mut self.connection_room };
                *room += i64::from(number(&payload));
                self.write_queue();
            }
            HEADERS | DATA => self.is_over |= flags & END_STREAM != 0,
            RESET | GO_AWAY => self.is_over = true,
            _ => {}
        }
        if self.unconfirmed >= REFILL {
            let more = take(&mut self.unconfirmed).to_be_bytes();
            self.frame(WINDOW_UPDATE, 0, 0, &more);
            self.frame(WINDOW_UPDATE, 0, STREAM, &more);
        }
        self.head = head;
        self.head.clear();
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let len = u32::try_from(payload.len()).expect("a frame is short");
        self.out.extend_from_slice(&len.to_be_bytes()[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }
}

/// A field of a header block whose name is `name` as it is written.
fn literal(block: &mut Vec<u8>, name: &[u8], value: &str) {
    block.extend_from_slice(name);
    block.push(u8::try_from(value.len()).ok().filter(|len| *len < 127).expect("values are short"));
    block.extend_from_slice(value.as_bytes());
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// A gRPC message that is not complete.
#[derive(Default)]
struct Message {
    prefix: Vec<u8>,
    len: usize,
    body: Vec<u8>,
}

impl Message {
    fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.prefix.len() < 5 {
                let more = bytes.len().min(5 - self.prefix.len());
                self.prefix.extend_from_slice(&bytes[..more]);
                bytes = &bytes[more..];
                if self.prefix.len() == 5 {
                    self.len = usize::try_from(number(&self.prefix[1..])).expect("32 bits");
                    self.body.reserve_exact(self.len);
                }
            }
            let (part, rest) = bytes.split_at(bytes.len().min(self.len.saturating_sub(self.body.len())));
            self.body.extend_from_slice(part);
            bytes = rest;
            if self.prefix.len() == 5 && self.body.len() == self.len {
                each(&self.body);
                *self = Self::default();
            }
        }
    }
}
