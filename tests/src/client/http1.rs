//! HTTP/1 requests as a case spells them, responses as they come.

use crate::case::Step;
use crate::observe::{Event, Message};
use crate::wire::{Wire, latin1, to_bytes};

/// The bytes of a request whose parts are given one by one.
pub(super) fn spell(line: &str, step: &Step) -> Vec<u8> {
    let mut head = format!("{line}\r\n");
    let has = |name: &str| step.headers.iter().any(|header| header.to_ascii_lowercase().starts_with(name));
    if !has("host:") && !has("no-host") {
        head.push_str("host: example.com\r\n");
    }
    for header in step.headers.iter().filter(|header| *header != "no-host") {
        head.push_str(header);
        head.push_str("\r\n");
    }
    let body = step.size.map(|size| "x".repeat(size)).or_else(|| step.body.clone());
    if let Some(body) = &body
        && !has("content-length:")
    {
        head.push_str(&format!("content-length: {}\r\n", to_bytes(body).len()));
    }
    let chunked = !step.chunks.is_empty() || !step.trailers.is_empty();
    if chunked && !has("transfer-encoding:") {
        head.push_str("transfer-encoding: chunked\r\n");
    }
    let mut text = head + "\r\n" + body.as_deref().unwrap_or_default();
    if chunked {
        for chunk in &step.chunks {
            text.push_str(&format!("{:x}\r\n{chunk}\r\n", to_bytes(chunk).len()));
        }
        text.push_str("0\r\n");
        for trailer in &step.trailers {
            text.push_str(&format!("{trailer}\r\n"));
        }
        text.push_str("\r\n");
    }
    to_bytes(&text)
}

/// The method of the first request in `bytes`.
pub(super) fn method(bytes: &[u8]) -> String {
    latin1(bytes.split(|byte| *byte == b' ').next().unwrap_or_default())
}

/// Reads one final response and the interim ones before it; false when the connection ended before.
pub(super) async fn response(wire: &mut Wire, method: &str, events: &mut Vec<Event>) -> bool {
    loop {
        let Some(mut message) = wire.head().await else {
            let rest = wire.take();
            if !rest.is_empty() {
                events.push(Event::Bytes(rest));
            }
            events.push(Event::Note("no response: the connection ended".to_owned()));
            return false;
        };
        let status = message.status().unwrap_or_default();
        let upgraded = status == 101 || (method == "CONNECT" && (200..300).contains(&status));
        let bodyless = method == "HEAD" || status < 200 || status == 204 || status == 304 || upgraded;
        if bodyless {
            message.complete = true;
        } else {
            wire.body(&mut message, true).await;
        }
        events.push(Event::Message(Message { ..message }));
        if status >= 200 || status == 101 {
            return true;
        }
    }
}
