//! The path as routing, policy and the upstream all see it. Dot segments are resolved as in RFC 3986, section 5.2.4; what is
//! decoded and what is encoded follows the URL Standard's path state, which Envoy's canonicaliser implements too.

use crate::config::http::{EscapedSlashes, PathSettings};
use crate::exchange::{RequestHead, RequestPath};
use crate::normalize::NormalizeError;

/// Applies the listener's path settings.
///
/// # Errors
/// See [`NormalizeError`].
pub fn normalize(settings: PathSettings, head: &mut RequestHead) -> Result<(), NormalizeError> {
    let Some(target) = &head.path else { return Ok(()) };
    let path = target.path();
    if !path.starts_with('/') || !needs_work(settings, path) {
        return Ok(());
    }
    let mut work = path.to_owned();
    let mut redirect = false;
    if settings.escaped_slashes != EscapedSlashes::Keep
        && let Some(unescaped) = unescape_slashes(&work)
    {
        if settings.escaped_slashes == EscapedSlashes::Reject {
            return Err(NormalizeError::Refused("the path has an escaped slash"));
        }
        redirect = settings.escaped_slashes == EscapedSlashes::UnescapeAndRedirect;
        work = unescaped;
    }
    if settings.normalize {
        work = canonical(&work).ok_or(NormalizeError::Refused("the path cannot be normalised"))?;
    }
    if settings.merge_slashes {
        work = merge_slashes(&work);
    }
    let target = match target.query() {
        Some(query) => format!("{work}?{query}"),
        None => work,
    };
    if redirect {
        return Err(NormalizeError::Redirect(target));
    }
    head.path = Some(RequestPath::from_bytes(target.as_bytes()).map_err(|_| NormalizeError::Refused("the path cannot be normalised"))?);
    Ok(())
}

/// Most paths need nothing: no allocation for them.
fn needs_work(settings: PathSettings, path: &str) -> bool {
    let escaped = settings.normalize || settings.escaped_slashes != EscapedSlashes::Keep;
    let dots = settings.normalize && (path.contains("/.") || path.contains('\\'));
    let odd = settings.normalize && path.bytes().any(must_encode);
    let doubled = settings.merge_slashes && path.contains("//");
    dots || odd || doubled || (escaped && path.contains('%')) || (settings.merge_slashes && path.contains('\\'))
}

/// `%2F` and `%5C` decoded, once; `None` when there are none.
fn unescape_slashes(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    let mut found = false;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (length, text) = match escape.get(1..3) {
            Some(hex) if hex.eq_ignore_ascii_case("2f") => (3, "/"),
            Some(hex) if hex.eq_ignore_ascii_case("5c") => (3, "\\"),
            _ => (1, "%"),
        };
        found |= length == 3;
        out.push_str(text);
        rest = escape.get(length..).unwrap_or("");
    }
    out.push_str(rest);
    found.then_some(out)
}

/// `None` when the path is not text once decoded.
fn canonical(path: &str) -> Option<String> {
    let mut segments: Vec<String> = Vec::new();
    let raw: Vec<&str> = path.split(['/', '\\']).skip(1).collect();
    let last = raw.len().saturating_sub(1);
    for (index, segment) in raw.into_iter().enumerate() {
        let segment = recode(segment)?;
        let is_last = index == last;
        // As Envoy, and also where the dots were escaped: servers that know path parameters leave them out before they look for dots.
        match segment.split(';').next().unwrap_or_default() {
            "." if is_last => segments.push(String::new()),
            "." => {}
            ".." => {
                segments.pop();
                if is_last {
                    segments.push(String::new());
                }
            }
            _ => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() {
        out.push('/');
    }
    Some(out)
}

/// Decodes escapes of unreserved characters, keeps other escapes as they are, encodes what may not stand in a path.
fn recode(segment: &str) -> Option<String> {
    let mut out = String::with_capacity(segment.len());
    let mut bare = Vec::new();
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let rest = bytes.as_slice_str(segment);
            let hex = rest.get(..2).filter(|hex| is_hex(hex));
            let Some(hex) = hex else {
                bare.push(out.len());
                out.push('%');
                continue;
            };
            let decoded = u8::from_str_radix(hex, 16).ok()?;
            if decoded == 0 {
                return None;
            }
            if is_unreserved(decoded) {
                out.push(char::from(decoded));
            } else {
                out.push('%');
                out.push_str(hex);
            }
            bytes.next();
            bytes.next();
        } else if must_encode(byte) {
            out.push_str(&format!("%{byte:02X}"));
        } else {
            out.push(char::from(byte));
        }
    }
    // What is decoded behind a bare percent sign must not make an escape of it: `%2%46` would become `%2F`.
    for at in bare.into_iter().rev() {
        let (from, to) = (at.saturating_add(1), at.saturating_add(3));
        if out.get(from..to).is_some_and(is_hex) {
            out.insert_str(from, "25");
        }
    }
    Some(out)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The part of `whole` that an iterator over its bytes has not read yet.
trait Rest {
    fn as_slice_str<'a>(&self, whole: &'a str) -> &'a str;
}

impl Rest for std::str::Bytes<'_> {
    fn as_slice_str<'a>(&self, whole: &'a str) -> &'a str {
        let read = whole.len().saturating_sub(self.len());
        whole.get(read..).unwrap_or("")
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn must_encode(byte: u8) -> bool {
    !(0x21..0x7f).contains(&byte) || matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}')
}

/// Of nothing but slashes two are left, as Envoy leaves them.
fn merge_slashes(path: &str) -> String {
    if path.len() > 1 && path.bytes().all(|byte| byte == b'/') {
        return "//".to_owned();
    }
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if !(character == '/' && out.ends_with('/')) {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_resolved_however_they_are_written() {
        for (given, wanted) in [
            ("/a/../b", "/b"),
            ("/a/./b", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/../../etc", "/etc"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a\\..\\b", "/b"),
            ("/%41%2d%7e", "/A-~"),
            ("/a%2fb", "/a%2fb"),
            ("/a%zz", "/a%zz"),
            ("/%2%45%2%45/%2%46%", "/%252E%252E/%252F%"),
            ("/a//b", "/a//b"),
            ("/a/b/..;/c", "/a/c"),
            ("/a/b/%2e%2E;q=1;r/c", "/a/c"),
            ("/a/.;q/b/..;", "/a/"),
            ("/a/...;/b;/;/..b", "/a/...;/b;/;/..b"),
            ("/a/..%3b/b", "/a/..%3b/b"),
            ("/", "/"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(wanted), "{given}");
        }
        assert_eq!(canonical("/a%00b"), None);
    }

    #[test]
    fn slashes_are_merged_and_unescaped() {
        for (given, wanted) in [("//a///b/", "/a/b/"), ("/", "/"), ("///", "//"), ("//", "//")] {
            assert_eq!(merge_slashes(given), wanted, "{given}");
        }
        assert_eq!(unescape_slashes("/a%2fb%5Cc%41").as_deref(), Some("/a/b\\c%41"));
        assert_eq!(unescape_slashes("/a%41"), None);
    }

    #[test]
    fn a_normal_form_is_its_own_normal_form() {
        for first in 0x21..0x7f_u8 {
            for second in 0..=255_u8 {
                let path = format!("/{}%{second:02x}/..%2f", char::from(first));
                let Some(once) = canonical(&path) else { continue };
                assert_eq!(canonical(&once).as_ref(), Some(&once), "{path}");
            }
        }
    }
}
