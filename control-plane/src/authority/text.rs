use aws_lc_rs::digest::{SHA256, digest};

use crate::hex;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Bytes in the digits of base64, without padding.
fn base64(bytes: &[u8], digits: &[u8; 64]) -> String {
    let digit = |bits: u32| digits.get(usize::try_from(bits & 63).unwrap_or_default()).copied().map_or('A', char::from);
    let of = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * 3_usize.saturating_sub(chunk.len()));
        [18, 12, 6, 0].map(|shift| digit(bits >> shift)).into_iter().take(chunk.len() + 1).collect::<String>()
    };
    bytes.chunks(3).map(of).collect()
}

/// Bytes as PEM.
pub(super) fn pem(label: &str, bytes: &[u8]) -> String {
    let mut text = base64(bytes, STANDARD);
    text.extend(std::iter::repeat_n('=', (4 - text.len() % 4) % 4));
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}

/// What a token says of the authority to be trusted: the digest of its public key, which outlives its certificate.
pub(super) fn pin(key: &[u8]) -> String {
    base64(digest(&SHA256, key).as_ref(), FOR_URLS)
}

/// What a certificate is told apart by.
pub(super) fn fingerprint(certificate: &[u8]) -> String {
    hex::encode(digest(&SHA256, certificate).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard() {
        // RFC 4648, section 10, without padding; and the two digits that only this alphabet has.
        for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")] {
            assert_eq!(base64(bytes.as_bytes(), FOR_URLS), text);
        }
        assert_eq!((base64(&[0xfb, 0xff], FOR_URLS), base64(&[0xfb, 0xff], STANDARD)), ("-_8".to_owned(), "+/8".to_owned()));
        assert_eq!(pem("X", &[0; 49]), format!("-----BEGIN X-----\n{}\nAA==\n-----END X-----\n", "A".repeat(64)));
        assert_eq!(pin(b"").len(), 43);
    }
}
