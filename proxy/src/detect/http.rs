use crate::detect::Verdict;

/// RFC 9113, section 3.4.
pub const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest method that is looked for; the registry's longest is `UPDATEREDIRECTREF`.
const METHOD_LIMIT: usize = 24;

/// The longest request line that is looked for.
const LINE_LIMIT: usize = 60 * 1024;

/// HTTP version as the first bytes show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 with prior knowledge.
    Http2,
}

impl HttpVersion {
    /// The name that filter chains match in `application_protocols`.
    pub fn application_protocol(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "h2c",
        }
    }
}

/// Whether the bytes begin with the HTTP/2 preface.
pub fn preface(bytes: &[u8]) -> Verdict<()> {
    if bytes.starts_with(HTTP2_PREFACE) {
        Verdict::Is(())
    } else if HTTP2_PREFACE.starts_with(bytes) {
        Verdict::NeedMore
    } else {
        Verdict::Not
    }
}

/// Whether the bytes begin with an HTTP request.
pub fn classify(bytes: &[u8]) -> Verdict<HttpVersion> {
    match preface(bytes) {
        Verdict::Is(()) => return Verdict::Is(HttpVersion::Http2),
        Verdict::NeedMore => return Verdict::NeedMore,
        Verdict::Not => {}
    }
    // RFC 9112, section 2.2: an empty line before the request line is skipped.
    let text = match bytes {
        [b'\r', b'\n', rest @ ..] => rest,
        [b'\r'] => return Verdict::NeedMore,
        other => other,
    };
    request_line(text)
}

fn request_line(text: &[u8]) -> Verdict<HttpVersion> {
    let method = text.iter().take_while(|byte| is_method_byte(**byte)).count();
    match text.get(method) {
        _ if method > METHOD_LIMIT => return Verdict::Not,
        None => return Verdict::NeedMore,
        Some(b' ') if method > 0 => {}
        Some(_) => return Verdict::Not,
    }
    let Some(end) = text.iter().position(|byte| *byte == b'\n') else {
        return if text.len() > LINE_LIMIT { Verdict::Not } else { Verdict::NeedMore };
    };
    let line = text.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.ends_with(b" HTTP/1.1") {
        Verdict::Is(HttpVersion::Http11)
    } else if line.ends_with(b" HTTP/1.0") {
        Verdict::Is(HttpVersion::Http10)
    } else {
        Verdict::Not
    }
}

fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines_are_told_from_other_bytes() {
        assert_eq!(classify(b"GET / HTTP/1.1\r\n"), Verdict::Is(HttpVersion::Http11));
        assert_eq!(classify(b"\r\nGET / HTTP/1.0\r\n"), Verdict::Is(HttpVersion::Http10));
        assert_eq!(classify(b"GET / HTTP/1."), Verdict::NeedMore);
        assert_eq!(classify(b"PR"), Verdict::NeedMore);
        assert_eq!(classify(HTTP2_PREFACE), Verdict::Is(HttpVersion::Http2));
        assert_eq!(classify(b"PROPFIND / HTTP/1.1\r\n"), Verdict::Is(HttpVersion::Http11));
        assert_eq!(classify(b"\x16\x03\x01"), Verdict::Not);
        assert_eq!(classify(b"*3\r\n$3\r\nSET\r\n"), Verdict::Not);
        assert_eq!(classify(b"SELECT 1;\n"), Verdict::Not);
        assert_eq!(classify(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"), Verdict::Not);
        assert_eq!(classify(b""), Verdict::NeedMore);
    }
}
