//! A TLS ClientHello as bytes: what an SNI router reads, without a TLS library.

use crate::case::Hello;

/// The same bytes for the same wish.
pub(super) fn client_hello(wish: &Hello) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = &wish.sni {
        let name = prefixed16(name.as_bytes());
        let entry = [vec![0], name].concat();
        extensions.push(extension(0, &prefixed16(&entry)));
    }
    if !wish.alpn.is_empty() {
        let protocols: Vec<u8> = wish.alpn.iter().flat_map(|name| prefixed8(name.as_bytes())).collect();
        extensions.push(extension(16, &prefixed16(&protocols)));
    }
    // supported_versions: TLS 1.3; supported_groups: x25519; signature_algorithms: ed25519.
    extensions.push(extension(43, &[2, 3, 4]));
    extensions.push(extension(10, &[0, 2, 0, 29]));
    extensions.push(extension(13, &[0, 2, 8, 7]));
    let body = [vec![3, 3], vec![7; 32], prefixed8(&[9; 32]), prefixed16(&[0x13, 0x01]), prefixed8(&[0]), prefixed16(&extensions.concat())]
        .concat();
    let handshake = [vec![1], length(body.len(), 3), body].concat();
    [vec![22, 3, 1], prefixed16(&handshake)].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), prefixed16(data)].concat()
}

fn prefixed8(data: &[u8]) -> Vec<u8> {
    [length(data.len(), 1), data.to_vec()].concat()
}

fn prefixed16(data: &[u8]) -> Vec<u8> {
    [length(data.len(), 2), data.to_vec()].concat()
}

fn length(number: usize, bytes: usize) -> Vec<u8> {
    let all = number.to_be_bytes();
    all[all.len() - bytes..].to_vec()
}
