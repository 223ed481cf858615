use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use crate::config::http::RequestId;
use crate::exchange::RequestHead;

/// The field.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes an identifier where there is none, or where an outsider's does not count.
pub(super) fn apply(settings: RequestId, edge: bool, head: &mut RequestHead) {
    if !settings.generate {
        return;
    }
    let keep = head.headers.contains_key(&X_REQUEST_ID) && (!edge || settings.preserve_external);
    if !keep && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&uuid())) {
        head.headers.insert(X_REQUEST_ID, value);
    }
}

/// A random UUID, version 4 (RFC 9562, section 5.4).
fn uuid() -> [u8; 36] {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let random = fastrand::u128(..);
    let random = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let mut digits = random.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    for group in [0..8, 9..13, 14..18, 19..23, 24..36] {
        for (place, digit) in text.get_mut(group).unwrap_or_default().iter_mut().zip(&mut digits) {
            *place = HEX.get(usize::from(digit)).copied().unwrap_or(b'0');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::uuid;

    #[test]
    fn identifiers_are_version_4_uuids() {
        for _ in 0..1000 {
            let text = String::from_utf8(uuid().to_vec()).unwrap();
            let lengths: Vec<usize> = text.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12]);
            assert_eq!(&text[14..15], "4");
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
        }
    }
}
