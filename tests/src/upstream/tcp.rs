//! A TCP upstream: greets, echoes or answers, and ends as told.

use super::{Record, Script};
use crate::case::{Respond, Then};
use crate::socket::Socket;
use crate::wire::{Ended, Wire, to_bytes};

pub(super) async fn serve(stream: Socket, script: &Script, record: &Record, index: usize) {
    let mut wire = Wire::new(stream);
    if let Some(greeting) = &script.spec.greet {
        wire.send(&to_bytes(greeting)).await;
    }
    exchange(&mut wire, script.next(), record, index).await;
}

/// Bytes both ways until the end; also what follows an upgrade.
pub(super) async fn exchange(wire: &mut Wire, mut answer: Respond, record: &Record, index: usize) {
    loop {
        let got = wire.take();
        if !got.is_empty() {
            record.bytes(index, &got);
            if answer.echo {
                wire.send(&got).await;
            }
            if let Some(raw) = answer.raw.take() {
                wire.send(&to_bytes(&raw)).await;
            }
            match answer.then {
                Then::Close | Then::Drop => return record.end(index, "closed by the upstream"),
                Then::Reset | Then::Abort => {
                    wire.reset_on_drop();
                    return record.end(index, "reset by the upstream");
                }
                Then::Keep | Then::Hang => {}
            }
        }
        if !wire.fill().await {
            break;
        }
    }
    let how = if wire.ended() == Some(Ended::Reset) { "reset by the proxy" } else { "closed by the proxy" };
    record.end(index, how);
}
