use std::fmt;
use std::str::FromStr;

use http::uri::PathAndQuery;

/// A path with its query. Envoy's clients may send characters that a URI must encode, such as `<`: they reach an HTTP/1
/// upstream as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Uri(PathAndQuery),
    /// Visible ASCII that begins with a slash and has no `#`.
    Other(Box<str>),
}

/// Not a path that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPath;

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a path that can be sent")
    }
}

impl std::error::Error for InvalidPath {}

impl RequestPath {
    /// `/`.
    pub fn root() -> Self {
        Self(Form::Uri(PathAndQuery::from_static("/")))
    }

    /// # Errors
    /// Where the bytes would break the request line, or begin a fragment.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidPath> {
        if bytes.contains(&b'#') {
            return Err(InvalidPath);
        }
        if let Ok(path) = PathAndQuery::try_from(bytes) {
            return Ok(Self(Form::Uri(path)));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidPath)?;
        let sendable = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if sendable { Ok(Self(Form::Other(text.into()))) } else { Err(InvalidPath) }
    }

    /// Path and query.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Form::Uri(path) => path.as_str(),
            Form::Other(text) => text,
        }
    }

    /// Without the query.
    pub fn path(&self) -> &str {
        match &self.0 {
            Form::Uri(path) => path.path(),
            Form::Other(text) => text.split_once('?').map_or(text, |(path, _)| path),
        }
    }

    /// What follows the first `?`.
    pub fn query(&self) -> Option<&str> {
        match &self.0 {
            Form::Uri(path) => path.query(),
            Form::Other(text) => text.split_once('?').map(|(_, query)| query),
        }
    }

    /// As a URI's: what may not stand there is percent-encoded.
    pub fn to_uri_path(&self) -> PathAndQuery {
        match &self.0 {
            Form::Uri(path) => path.clone(),
            Form::Other(text) => PathAndQuery::try_from(percent_encoded(text.as_bytes())).unwrap_or(PathAndQuery::from_static("/")),
        }
    }

    /// The text that [`RequestPath::to_uri_path`] had to change.
    pub fn unencoded(&self) -> Option<&str> {
        match &self.0 {
            Form::Uri(_) => None,
            Form::Other(text) => Some(text),
        }
    }
}

impl From<PathAndQuery> for RequestPath {
    fn from(path: PathAndQuery) -> Self {
        Self(Form::Uri(path))
    }
}

impl FromStr for RequestPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for RequestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// All but what RFC 3986 lets stand in a path and its query.
pub fn percent_encoded(path: &[u8]) -> String {
    let mut out = String::with_capacity(path.len().saturating_mul(3));
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"/?%:@-._~!$&'()*+,;=[]".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = fmt::Write::write_fmt(&mut out, format_args!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_uri_must_encode_is_kept_and_can_be_encoded() {
        let path: RequestPath = "/a<b>`?q=<1>?x".parse().unwrap();
        assert_eq!((path.path(), path.query()), ("/a<b>`", Some("q=<1>?x")));
        assert_eq!(path.as_str(), "/a<b>`?q=<1>?x");
        assert_eq!(path.unencoded(), Some("/a<b>`?q=<1>?x"));
        assert_eq!(path.to_uri_path(), "/a%3Cb%3E%60?q=%3C1%3E?x");
        let plain: RequestPath = "/a?b".parse().unwrap();
        assert_eq!((plain.path(), plain.query(), plain.unencoded()), ("/a", Some("b"), None));
    }

    #[test]
    fn nothing_that_ends_a_line_or_begins_a_fragment_is_a_path() {
        for bad in [&b"/a<\r\nb"[..], b"/a<b c", b"/<#x", b"/#", b"a<b", b"/<\xff", b"/<\x00"] {
            assert_eq!(RequestPath::from_bytes(bad), Err(InvalidPath), "{bad:?}");
        }
    }
}
