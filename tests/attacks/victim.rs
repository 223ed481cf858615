use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// An answer that takes longer than this is no answer.
const PATIENCE: Duration = Duration::from_secs(10);
const REQUEST: &[u8] = b"GET /victim HTTP/1.1\r\nhost: example.com\r\n\r\n";
/// What the server gives to `/victim`.
pub(crate) const ANSWER: &str = "right";

/// A client on a thread of its own: one connection, one request after the other.
pub(crate) struct Victim {
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Victim {
    pub(crate) fn start(port: u16) -> Self {
        let (answered, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended) = (Arc::clone(&answered), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut stream = connect(port).map_err(|e| format!("connecting: {e}"))?;
            while !ended.load(Ordering::Relaxed) {
                ask(&mut stream)?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        Self { answered, stop, thread: Some(thread) }
    }

    /// Requests answered until now.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends it; what went wrong, if anything.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream) -> Result<(), String> {
    stream.write_all(REQUEST).map_err(|e| format!("sending: {e}"))?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(format!("\r\n\r\n{ANSWER}").as_bytes()) {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(format!("closed after {:?}", String::from_utf8_lossy(&answer))),
            Ok(count) => answer.extend(&buffer[..count]),
            Err(error) => return Err(format!("reading: {error}, after {:?}", String::from_utf8_lossy(&answer))),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    if text.starts_with("HTTP/1.1 200 ") && text.matches("HTTP/1.1 ").count() == 1 { Ok(()) } else { Err(format!("got {text:?}")) }
}
