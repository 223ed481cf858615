//! An HTTP/1 upstream that knows every byte it sends.

use super::{Record, Script, tcp};
use crate::case::{Respond, Then};
use crate::observe::Event;
use crate::socket::Socket;
use crate::wire::{Wire, to_bytes};
use std::time::Duration;
use tokio::time::sleep;

pub(super) async fn serve(stream: Socket, script: &Script, record: &Record, index: usize) {
    let mut wire = Wire::new(stream);
    while let Some(mut request) = wire.head().await {
        let answer = script.next();
        for line in &answer.interim {
            wire.send(&to_bytes(&format!("{line}\r\n\r\n"))).await;
        }
        if !answer.early {
            wire.body(&mut request, false).await;
        }
        let (is_head, has_upgrade) = (request.start.starts_with("HEAD "), answer.status == Some(101));
        let is_connect = request.start.starts_with("CONNECT ");
        record.event(index, Event::Message(request));
        sleep(Duration::from_millis(answer.delay)).await;
        match answer.then {
            Then::Hang => return hang(&mut wire, record, index).await,
            Then::Drop => return record.end(index, "closed by the upstream"),
            Then::Abort => {
                wire.reset_on_drop();
                return record.end(index, "reset by the upstream");
            }
            Then::Keep | Then::Close | Then::Reset => {}
        }
        wire.send(&spell(script, &answer, is_head)).await;
        if has_upgrade || (is_connect && answer.status.is_none()) {
            return tcp::exchange(&mut wire, Respond { raw: None, ..answer }, record, index).await;
        }
        match answer.then {
            Then::Close => return record.end(index, "closed by the upstream"),
            Then::Reset => {
                // The answer must have arrived: a reset may take with it what was not read yet.
                sleep(Duration::from_millis(30)).await;
                wire.reset_on_drop();
                return record.end(index, "reset by the upstream");
            }
            _ => {}
        }
    }
    let rest = wire.take();
    if !rest.is_empty() {
        record.bytes(index, &rest);
    }
    record.end(index, "closed by the proxy");
}

async fn hang(wire: &mut Wire, record: &Record, index: usize) {
    while wire.fill().await {}
    record.end(index, "closed by the proxy");
}

fn spell(script: &Script, answer: &Respond, is_head: bool) -> Vec<u8> {
    if let Some(raw) = &answer.raw {
        return to_bytes(raw);
    }
    let status = answer.status.unwrap_or(200);
    let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or("Unknown"));
    for header in &answer.headers {
        text.push_str(&format!("{header}\r\n"));
    }
    let chunked = answer.chunked || !answer.trailers.is_empty();
    let body = if matches!(status, 101 | 204 | 304) { Vec::new() } else { script.body(answer) };
    match status {
        101 | 204 | 304 => {}
        _ if chunked => text.push_str("transfer-encoding: chunked\r\n"),
        _ => text.push_str(&format!("content-length: {}\r\n", body.len())),
    }
    text.push_str("\r\n");
    let mut bytes = to_bytes(&text);
    if is_head || matches!(status, 101 | 204 | 304) {
        return bytes;
    }
    if !chunked {
        bytes.extend(body);
        return bytes;
    }
    if !body.is_empty() {
        bytes.extend(format!("{:x}\r\n", body.len()).into_bytes());
        bytes.extend(body);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n");
    for trailer in &answer.trailers {
        bytes.extend(to_bytes(&format!("{trailer}\r\n")));
    }
    bytes.extend(b"\r\n");
    bytes
}
