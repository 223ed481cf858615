//! Texts with rules of their own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use regex::RegexBuilder;

use crate::source::manifest::reader::Reader;

/// A compiled expression is no larger, as in the proxy.
const LARGEST_REGEX: usize = 1024 * 1024;

/// A label of RFC 1123: lower case letters, digits and `-`, at most 63.
pub(super) fn label(text: &str, reader: &mut Reader) -> Option<Arc<str>> {
    if is_label(text) {
        return Some(text.into());
    }
    reader.refuse(format_args!("{text:?} is not a DNS label: lower case letters, digits and '-', at most 63, no '-' at either end"))
}

/// A subdomain of RFC 1123: labels with dots between them, at most 253.
pub(super) fn subdomain(text: &str, reader: &mut Reader) -> Option<Arc<str>> {
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Some(text.into());
    }
    reader.refuse(format_args!("{text:?} is not a DNS name: lower case letters, digits, '-' and '.', at most 253"))
}

fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().copied().is_some_and(is_plain)
        && bytes.last().copied().is_some_and(is_plain)
        && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
}

/// A number of a port.
pub(super) fn port(number: i64, reader: &mut Reader) -> Option<u16> {
    match u16::try_from(number) {
        Ok(0) | Err(_) => reader.refuse(format_args!("{number} is not a port: 1 to 65535")),
        Ok(number) => Some(number),
    }
}

/// An address without a port.
pub(super) fn address(text: &str, reader: &mut Reader) -> Option<IpAddr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => reader.refuse(format_args!("{text:?} is not an IP address")),
    }
}

/// A duration as Gateway API writes it (GEP-2257): up to four of `1h`, `2m`, `3s`, `4ms`.
pub(super) fn duration(text: &str, reader: &mut Reader) -> Option<Duration> {
    match parse_duration(text) {
        Some(duration) => Some(duration),
        None => reader.refuse(format_args!("{text:?} is not a duration: up to four of 1h, 2m, 3s, 4ms, at most 5 digits each")),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (mut total, mut rest, mut parts) = (Duration::ZERO, text, 0_u32);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        parts = parts.checked_add(1)?;
        if !(1..=5).contains(&digits) || parts > 4 {
            return None;
        }
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters)?;
        let milliseconds: u64 = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(milliseconds)?))?;
        rest = after;
    }
    (parts > 0).then_some(total)
}

/// No request waits for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long a request may wait for something.
pub(super) fn wait(text: &str, what: &str, reader: &mut Reader) -> Option<Duration> {
    match duration(text, reader)? {
        Duration::ZERO => reader.refuse(format_args!("0 leaves no time to {what}")),
        long if long > LONGEST_WAIT => reader.refuse(format_args!("{text:?} is longer than a minute")),
        wait => Some(wait),
    }
}

/// An expression of RE2's syntax.
pub(super) fn regex(text: &str, reader: &mut Reader) -> Option<Arc<str>> {
    match RegexBuilder::new(text).size_limit(LARGEST_REGEX).build() {
        Ok(_) => Some(text.into()),
        Err(error) => reader.refuse(format_args!("{text:?} is not a regular expression: {}", last_line(&error.to_string()))),
    }
}

/// The library draws where the fault is; the last line says what it is.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// The name of a header (RFC 9110, section 5.6.2).
pub(super) fn header_name(text: &str, reader: &mut Reader) -> Option<Arc<str>> {
    match http::HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) => Some(name.as_str().into()),
        Err(_) => reader.refuse(format_args!("{text:?} is not the name of a header")),
    }
}

/// What says where a message ends and whom it is for: nobody else may say so.
const FRAMING: [&str; 9] =
    ["connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// Names of headers that frame a message.
pub(super) fn framing() -> impl Iterator<Item = &'static str> {
    FRAMING.into_iter()
}

/// The value of a header.
pub(super) fn header_value(text: &str, reader: &mut Reader) -> Option<Arc<str>> {
    match http::HeaderValue::from_str(text) {
        Ok(_) => Some(text.into()),
        Err(_) => reader.refuse(format_args!("{text:?} is not the value of a header")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_gep_2257() {
        let read = |text| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(read("1h"), Some(3_600_000));
        assert_eq!(read("10s500ms"), Some(10_500));
        assert_eq!(read("0s"), Some(0));
        for wrong in ["", "10", "-1s", "1.5s", "123456s", "1h1m1s1ms1s", "1d", "s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn labels_are_those_of_rfc_1123() {
        for good in ["a", "cart", "cart-2", "0", &"a".repeat(63)] {
            assert!(is_label(good), "{good}");
        }
        for wrong in ["", "-a", "a-", "A", "a.b", "a_b", "ü", &"a".repeat(64)] {
            assert!(!is_label(wrong), "{wrong}");
        }
    }
}
