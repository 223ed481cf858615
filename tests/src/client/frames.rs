//! HTTP/2 frames of a connection whose bytes the case spells itself, as far as bad input needs them:
//! which streams were answered, reset or refused.

use crate::observe::Event;
use crate::wire::Wire;
use std::time::Duration;
use tokio::time::timeout;

/// After this long without a frame there is nothing more to come.
const SILENCE: Duration = Duration::from_millis(250);

/// Notes HEADERS and RST_STREAM until silence or the end. GOAWAY is left out: whether one is sent before a close that
/// comes anyway differs from fault to fault in Envoy itself. That the connection is closed is noted elsewhere.
pub(super) async fn read(wire: &mut Wire, events: &mut Vec<Event>) {
    while let Ok(head) = timeout(SILENCE, wire.exactly(9)).await {
        if head.len() < 9 {
            return;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = wire.exactly(length).await;
        match head[3] {
            1 => events.push(Event::Note(format!("stream {stream}: status {}", status(&payload)))),
            3 => events.push(Event::Note(format!("stream {stream}: reset {}", code(&payload)))),
            _ => {}
        }
    }
}

/// The status when it is the first field and in the static table, which holds the common ones.
fn status(block: &[u8]) -> &'static str {
    match block.iter().find(|byte| **byte & 0xe0 != 0x20) {
        Some(0x88) => "200",
        Some(0x89) => "204",
        Some(0x8b) => "304",
        Some(0x8c) => "400",
        Some(0x8d) => "404",
        Some(0x8e) => "500",
        _ => "other",
    }
}

fn code(payload: &[u8]) -> String {
    let bytes = payload.get(..4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or_else(String::new, |bytes| format!("{:?}", h2::Reason::from(u32::from_be_bytes(bytes))))
}
