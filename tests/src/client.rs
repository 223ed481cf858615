//! The client's side of a case: does the steps in order and writes down what came back.

mod frames;
mod hello;
mod http1;
mod http2;

pub(crate) use http2::{header_map, lines, read_body};

use crate::bootstrap::Places;
use crate::case::{Close, Step};
use crate::names::Names;
use crate::observe::{Connection, Event};
use crate::socket::Socket;
use crate::wire::{Ended, Wire, to_bytes};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A proxy that has not answered after this time is not going to; no case waits for longer on purpose.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much later than the client's an upstream connection may end.
const UPSTREAMS_TOO: Duration = Duration::from_millis(100);

/// One connection of the script.
struct Conversation {
    name: String,
    seen: Connection,
    local_port: u16,
    speaks: Speaks,
    /// Methods of requests whose responses have not been read.
    asked: Vec<String>,
}

enum Speaks {
    Bytes(Wire),
    Http2(http2::Client),
    Nothing,
}

/// What all connections of a script saw, with the local port of each.
pub struct Seen {
    /// By name, in order of first use.
    pub connections: Vec<(String, Connection)>,
    /// Local ports and the names of their connections.
    pub ports: Vec<(u16, String)>,
    /// Connections that the script left open are open as long as this is kept.
    _open: Vec<Speaks>,
}

/// Runs the script against the proxy's listener.
///
/// # Errors
/// The proxy does not ask for names again whose addresses changed.
pub async fn play(steps: &[Step], listener: u16, places: &Places, names: &Names, settle: Duration) -> Result<Seen, String> {
    let mut all: Vec<Conversation> = Vec::new();
    for step in &steps.iter().map(|step| step.with_places(places)).collect::<Vec<_>>() {
        for _ in 0..step.repeat.unwrap_or(1) {
            sleep(Duration::from_millis(step.wait)).await;
            if let Some(answers) = &step.dns {
                names.change(answers).await?;
            }
            let index = match all.iter().position(|one| one.name == step.conn) {
                Some(index) => index,
                None => {
                    all.push(Conversation::open(step, listener).await);
                    all.len() - 1
                }
            };
            let start = Instant::now();
            if timeout(PATIENCE, all[index].act(step)).await.is_err() {
                all[index].gave_up();
            }
            if step.within.is_some_and(|limit| start.elapsed() > Duration::from_millis(limit)) {
                all[index].seen.events.push(Event::Note("took too long".to_owned()));
            }
        }
    }
    settle_all(&mut all, settle).await;
    let ports = all.iter().map(|one| (one.local_port, format!("client {}", one.name))).collect();
    let (connections, open) = all.into_iter().map(|one| ((one.name, one.seen), one.speaks)).unzip();
    Ok(Seen { connections, ports, _open: open })
}

/// Gives the proxy a moment to close what it is going to close, then notes how each connection was left.
async fn settle_all(all: &mut [Conversation], settle: Duration) {
    let end = Instant::now() + settle;
    for one in all.iter_mut() {
        let left = end.saturating_duration_since(Instant::now());
        one.settle(left).await;
    }
    // Upstreams may hear of an end a little later than the client.
    let left = end.saturating_duration_since(Instant::now());
    sleep(left.min(UPSTREAMS_TOO)).await;
}

impl Conversation {
    async fn open(step: &Step, listener: u16) -> Self {
        let mut seen = Connection::default();
        let mut local_port = 0;
        let to = step.to.clone().unwrap_or_else(|| format!("127.0.0.1:{listener}"));
        let speaks = match Socket::connect(&to).await {
            Err(error) => {
                seen.events.push(Event::Note(format!("connect: {}", error.kind())));
                Speaks::Nothing
            }
            Ok(stream) => {
                local_port = stream.local_port();
                if step.request.as_deref().is_some_and(|line| line.ends_with(" HTTP/2")) {
                    http2::Client::connect(stream).await.map_or(Speaks::Nothing, Speaks::Http2)
                } else {
                    Speaks::Bytes(Wire::new(stream))
                }
            }
        };
        Self { name: step.conn.clone(), seen, local_port, speaks, asked: Vec::new() }
    }

    async fn act(&mut self, step: &Step) {
        match &mut self.speaks {
            Speaks::Nothing => self.seen.events.push(Event::Note("not connected".to_owned())),
            Speaks::Http2(client) => client.act(step, &mut self.seen.events).await,
            Speaks::Bytes(wire) => act_on_bytes(wire, step, &mut self.asked, &mut self.seen.events).await,
        }
        if let Some(how) = step.close {
            self.close(how).await;
        }
    }

    fn gave_up(&mut self) {
        self.seen.events.push(Event::Note("no answer".to_owned()));
        if let Speaks::Bytes(wire) = &mut self.speaks {
            let rest = wire.take();
            if !rest.is_empty() {
                self.seen.events.push(Event::Bytes(rest));
            }
        }
    }

    async fn close(&mut self, how: Close) {
        match (&mut self.speaks, how) {
            (Speaks::Bytes(wire), Close::Write) => return wire.finish().await,
            (Speaks::Bytes(wire), Close::Reset) => wire.reset_on_drop(),
            _ => {}
        }
        self.speaks = Speaks::Nothing;
        "closed by the client".clone_into(&mut self.seen.end);
    }

    async fn settle(&mut self, limit: Duration) {
        let end = match &mut self.speaks {
            Speaks::Nothing => return,
            Speaks::Http2(client) => client.ended(limit).await,
            Speaks::Bytes(wire) => {
                let _ = timeout(limit, async { while wire.fill().await {} }).await;
                let rest = wire.take();
                if !rest.is_empty() {
                    self.seen.events.push(Event::Bytes(rest));
                }
                how_it_ended(wire.ended()).to_owned()
            }
        };
        self.seen.end = end;
    }
}

/// Reset and close are told apart only in the bytes: which of them comes depends on what the proxy had read by then.
fn how_it_ended(ended: Option<Ended>) -> &'static str {
    match ended {
        None => "left open",
        Some(Ended::Closed | Ended::Reset) => "closed by the proxy",
    }
}

async fn act_on_bytes(wire: &mut Wire, step: &Step, asked: &mut Vec<String>, events: &mut Vec<Event>) {
    if let Some(hello) = &step.hello {
        let bytes = hello::client_hello(hello);
        for piece in bytes.chunks(hello.pieces.unwrap_or(bytes.len())) {
            wire.send(piece).await;
            sleep(Duration::from_millis(2)).await;
        }
    }
    let bytes = step.raw.as_deref().map(to_bytes).or_else(|| step.request.as_deref().map(|line| http1::spell(line, step)));
    if let Some(bytes) = &bytes {
        asked.push(http1::method(bytes));
        wire.send(bytes).await;
    }
    let responses = step.responses.unwrap_or_else(|| usize::from(step.request.is_some()));
    for _ in 0..responses {
        let method = if asked.is_empty() { String::new() } else { asked.remove(0) };
        if !http1::response(wire, &method, events).await {
            break;
        }
    }
    match step.read {
        Some(count) => match usize::try_from(count) {
            Ok(count) => events.push(Event::Bytes(wire.exactly(count).await)),
            Err(_) => {
                let bytes = wire.to_end().await;
                events.push(Event::Bytes(bytes));
                let was_reset = step.tell_reset && wire.ended() == Some(Ended::Reset);
                events.push(Event::Note(if was_reset { "reset" } else { "end" }.to_owned()));
            }
        },
        None if step.frames => frames::read(wire, events).await,
        None => {}
    }
}
