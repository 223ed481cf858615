//! String, header and number matchers.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use regex::bytes::Regex;

/// How a text must look (`envoy.type.matcher.v3.StringMatcher`).
#[derive(Clone, Debug)]
pub struct StringMatch {
    pattern: StringPattern,
    ignore_case: bool,
}

/// The pattern of a [`StringMatch`]. A regular expression must match the whole text (RE2's FullMatch).
#[derive(Clone, Debug)]
pub enum StringPattern {
    /// Equal.
    Exact(String),
    /// Begins with.
    Prefix(String),
    /// Ends with.
    Suffix(String),
    /// Holds.
    Contains(String),
    /// Matches as a whole; anchored when it was parsed.
    Regex(Regex),
}

impl StringMatch {
    /// `ignore_case` folds ASCII; it does not apply to regular expressions.
    pub fn new(pattern: StringPattern, ignore_case: bool) -> Self {
        Self { pattern, ignore_case }
    }

    /// The text that it must equal, if it is an exact match.
    pub fn exact(&self) -> Option<&str> {
        match &self.pattern {
            StringPattern::Exact(exact) => Some(exact),
            StringPattern::Prefix(_) | StringPattern::Suffix(_) | StringPattern::Contains(_) | StringPattern::Regex(_) => None,
        }
    }

    /// Whether `text` fits.
    pub fn matches(&self, text: &[u8]) -> bool {
        match &self.pattern {
            StringPattern::Exact(exact) => self.equal(text, exact.as_bytes()),
            StringPattern::Prefix(prefix) => text.get(..prefix.len()).is_some_and(|head| self.equal(head, prefix.as_bytes())),
            StringPattern::Suffix(suffix) => {
                let start = text.len().checked_sub(suffix.len());
                start.and_then(|start| text.get(start..)).is_some_and(|tail| self.equal(tail, suffix.as_bytes()))
            }
            StringPattern::Contains(part) if part.is_empty() => true,
            StringPattern::Contains(part) => text.windows(part.len()).any(|window| self.equal(window, part.as_bytes())),
            StringPattern::Regex(regex) => regex.is_match(text),
        }
    }

    /// Whether `text` fits; `None` where that cannot be told: a regular expression is about characters, and `text` is not UTF-8.
    pub fn decides(&self, text: &[u8]) -> Option<bool> {
        match &self.pattern {
            StringPattern::Regex(_) if std::str::from_utf8(text).is_err() => None,
            StringPattern::Exact(_)
            | StringPattern::Prefix(_)
            | StringPattern::Suffix(_)
            | StringPattern::Contains(_)
            | StringPattern::Regex(_) => Some(self.matches(text)),
        }
    }

    fn equal(&self, left: &[u8], right: &[u8]) -> bool {
        if self.ignore_case { left.eq_ignore_ascii_case(right) } else { left == right }
    }
}

/// Compiles a regular expression that must match the whole of a text.
pub fn full_match_regex(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

/// A header that a request must have (`envoy.config.route.v3.HeaderMatcher`).
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// The header's name. `:method`, `:path`, `:authority` and `:scheme` are given by [`RequestHeaders`].
    pub name: MatchedName,
    /// What it must be.
    pub test: HeaderTest,
    /// The opposite counts.
    pub invert: bool,
    /// A missing header counts as an empty one.
    pub treat_missing_as_empty: bool,
}

/// The field that a header matcher looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchedName {
    /// An ordinary field.
    Field(HeaderName),
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:authority` (also `host`).
    Authority,
    /// `:scheme`.
    Scheme,
}

/// What a header must be.
#[derive(Clone, Debug)]
pub enum HeaderTest {
    /// One of its values fits.
    String(StringMatch),
    /// A decimal number from `start` (included) to `end` (not included).
    Range {
        /// First value inside.
        start: i64,
        /// First value outside.
        end: i64,
    },
    /// There (`true`) or not there.
    Present(bool),
}

/// A request as matchers see it.
pub trait RequestHeaders {
    /// The request's method.
    fn method(&self) -> &str;
    /// Path and query.
    fn path(&self) -> &str;
    /// A plain CONNECT has no path.
    fn has_path(&self) -> bool {
        true
    }
    /// Host and port, if given.
    fn authority(&self) -> &str;
    /// `http` or `https`.
    fn scheme(&self) -> &str;
    /// The fields.
    fn fields(&self) -> &HeaderMap;
}

impl HeaderMatch {
    /// Whether the request fits. Where that cannot be told, no character is one that a regular expression is about.
    pub fn matches(&self, request: &impl RequestHeaders) -> bool {
        self.decides(request).unwrap_or(self.invert)
    }

    /// Whether the request fits; `None` where that cannot be told, see [`StringMatch::decides`].
    pub fn decides(&self, request: &impl RequestHeaders) -> Option<bool> {
        match &self.name {
            MatchedName::Field(name) => self.decides_of(request.fields().get_all(name).iter().map(HeaderValue::as_bytes)),
            MatchedName::Method => self.decides_of([request.method().as_bytes()]),
            MatchedName::Path => self.decides_of(request.has_path().then(|| request.path().as_bytes())),
            MatchedName::Authority => self.decides_of([request.authority().as_bytes()]),
            MatchedName::Scheme => self.decides_of([request.scheme().as_bytes()]),
        }
    }

    /// As Envoy: of several values one must fit (inverted: none may), and a missing header fits nothing, inverted or not.
    fn decides_of<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Option<bool> {
        let mut values = values.into_iter().peekable();
        if let HeaderTest::Present(wanted) = self.test {
            let present = values.peek().is_some() || self.treat_missing_as_empty;
            return Some((present == wanted) != self.invert);
        }
        if values.peek().is_none() {
            return Some(self.treat_missing_as_empty && self.test.decides(b"") != Some(self.invert));
        }
        let mut unclear = false;
        for value in values {
            match self.test.decides(value) {
                Some(true) => return Some(!self.invert),
                Some(false) => {}
                None => unclear = true,
            }
        }
        (!unclear).then_some(self.invert)
    }
}

impl HeaderTest {
    fn decides(&self, value: &[u8]) -> Option<bool> {
        match self {
            Self::String(string) => string.decides(value),
            Self::Range { start, end } => {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i64>().ok());
                Some(number.is_some_and(|number| *start <= number && number < *end))
            }
            Self::Present(wanted) => Some(*wanted),
        }
    }
}
