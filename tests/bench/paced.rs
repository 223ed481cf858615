//! A client that asks at a fixed rate, whatever the answers take: one request at a time, evenly spaced, over keep-alive
//! connections in turn. So the proxy wakes for each request alone, as under the light load of most sidecars.

use crate::load::CONNECTIONS;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const PER_SECOND: u32 = 2000;

/// An answer may take as long as the connections take to come round again; beyond that, the schedule is caught up with.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The number of answers.
pub fn run(port: u16, time: Duration) -> Result<u64, String> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::open(port)?);
    }
    let gap = Duration::from_secs(1) / PER_SECOND;
    let began = Instant::now();
    let mut due = began;
    let mut asked = 0;
    while due < began + time {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += gap;
        let turn = asked % clients.len();
        if asked >= clients.len() {
            clients[turn].answer()?;
        }
        clients[turn].ask()?;
        asked += 1;
    }
    for client in clients.iter_mut().take(asked) {
        client.answer()?;
    }
    u64::try_from(asked).map_err(|e| e.to_string())
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn open(port: u16) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| format!("connecting: {e}"))?;
        let ready = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(ANSWER_LIMIT)));
        ready.map_err(|e| format!("connecting: {e}"))?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024] })
    }

    fn ask(&mut self) -> Result<(), String> {
        self.stream.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n").map_err(|e| format!("asking: {e}"))
    }

    fn answer(&mut self) -> Result<(), String> {
        let mut filled = 0;
        loop {
            let count = self.stream.read(&mut self.buffer[filled..]).map_err(|e| format!("reading an answer: {e}"))?;
            filled += count;
            if is_whole(&self.buffer[..filled])? {
                return Ok(());
            }
            if count == 0 {
                return Err("the proxy closed a connection".to_owned());
            }
        }
    }
}

/// Whether this is a whole answer of 200 with its announced length.
fn is_whole(bytes: &[u8]) -> Result<bool, String> {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("an answer that is not 200:\n{head}"));
    }
    let lengths = head.lines().filter_map(|line| line.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: Option<usize> = lengths.map(|(_, value)| value.trim().parse().ok()).next().flatten();
    length.map(|length| body.len() >= length).ok_or_else(|| format!("an answer without a length:\n{head}"))
}
