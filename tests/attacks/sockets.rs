//! TCP connections of this machine as the kernel counts them.

use crate::raw::LONG;
use ninon_tests::eventually::eventually;

/// What the kernel says of one established connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// The other side's address and port.
    peer: String,
    /// Bytes written that the other side's kernel has not taken yet.
    unsent: u64,
}

/// The connections to `port` that its owner has not closed, in a steady order.
pub(crate) fn established(port: u16) -> Vec<Socket> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!(":{port:04X}");
    let mut sockets: Vec<_> = table.lines().filter_map(|line| socket(line, &local)).collect();
    sockets.sort_by(|one, other| one.peer.cmp(&other.peer));
    sockets
}

/// One line: number, local address, remote address, state (1 is established), queues (`sent:received`) and more.
fn socket(line: &str, local: &str) -> Option<Socket> {
    let mut fields = line.split_whitespace().skip(1);
    let (own, peer, state, queues) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let unsent = u64::from_str_radix(queues.split(':').next()?, 16).ok()?;
    (own.ends_with(local) && state == "01").then(|| Socket { peer: peer.to_owned(), unsent })
}

/// Waits until the proxy takes nothing more of at least `count` answers of the server at `port`: the server has more to say, and
/// nothing has moved since the last look.
pub(crate) async fn full(port: u16, count: usize) {
    let mut before = Vec::new();
    let stopped = eventually(LONG, || {
        let now: Vec<_> = established(port).into_iter().filter(|socket| socket.unsent > 0).collect();
        let full = now.len() >= count && now == before;
        before = now;
        std::future::ready(full.then_some(()))
    })
    .await;
    assert!(stopped.is_some(), "{} answers of {count} wait", before.len());
}
