use std::fmt;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::exchange::{RequestHead, RequestPath};

/// What a service says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The request goes on.
    Allowed(Box<Allowed>),
    /// It does not.
    Denied(Box<Denied>),
}

/// What is changed of a request that goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allowed {
    /// In place of what is there.
    pub set: Vec<Field>,
    /// Beside what is there; where nothing is, nothing is added.
    pub append: Vec<Field>,
    /// Beside what is there, if anything.
    pub add: Vec<Field>,
    /// Only where nothing is.
    pub add_if_absent: Vec<Field>,
    /// Only where something is.
    pub overwrite: Vec<Field>,
    /// Taken away.
    pub remove: Vec<HeaderName>,
    /// Query parameters in place of what is there.
    pub query_set: Vec<(String, String)>,
    /// Query parameters taken away.
    pub query_remove: Vec<String>,
    /// What is changed of the answer.
    pub response: ResponseChanges,
    /// Kept as metadata.
    pub metadata: Map<String, Value>,
}

/// A name and a value that may stand in a message.
pub type Field = (HeaderName, HeaderValue);

/// What is changed of the upstream's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseChanges {
    /// Beside what is there.
    pub add: Vec<Field>,
    /// In place of what is there.
    pub set: Vec<Field>,
    /// Only where nothing is.
    pub add_if_absent: Vec<Field>,
    /// Only where something is.
    pub overwrite: Vec<Field>,
}

/// What the client is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    /// Status; 403 where the service says none.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Kept as metadata.
    pub metadata: Map<String, Value>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The service could not be asked, or did not answer.
    NoAnswer(String),
    /// The service says so itself, and what the client is to be told.
    Error {
        /// Where the service says one.
        status: Option<StatusCode>,
        /// The rest.
        told: Box<Denied>,
    },
    /// It says what no service may say. Never let through.
    Invalid(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(reason) => f.write_str(reason),
            Self::Error { .. } => f.write_str("the service had an error"),
            Self::Invalid(reason) => write!(f, "the service's answer is invalid: {reason}"),
        }
    }
}

/// Names that frame a message, or say where it goes: a codec or a rewrite sets them, and nobody else.
const RESERVED: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-envoy-internal",
];

/// Whether a service may say nothing about a header of this name.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with(':') || RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// A name that a service may speak of.
pub(super) fn name(text: &str) -> Result<HeaderName, Fault> {
    if is_reserved(text) {
        return Err(Fault::Invalid(format!("{text:?} may not be changed")));
    }
    HeaderName::try_from(text).map_err(|_| Fault::Invalid(format!("{text:?} is no header's name")))
}

/// A header that a service may set.
pub(super) fn field(name_text: &str, value: &[u8]) -> Result<Field, Fault> {
    let name = name(name_text)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| Fault::Invalid(format!("{name_text} has a value that no header can have")))?;
    Ok((name, value))
}

/// A status that a service may choose.
pub(super) fn status(code: i64) -> Result<StatusCode, Fault> {
    let status = u16::try_from(code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    status.filter(|status| (200..600).contains(&status.as_u16())).ok_or_else(|| Fault::Invalid(format!("{code} is no status")))
}

impl Allowed {
    /// Changes the request. Whether anything that routes look at may have changed.
    ///
    /// # Errors
    /// What comes of it is no request.
    pub fn apply(&self, request: &mut RequestHead) -> Result<bool, Fault> {
        let path = self.path(request)?;
        let headers = &mut request.headers;
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.append {
            if let Some(present) = headers.get(name) {
                let joined = [present.as_bytes(), b",", value.as_bytes()].concat();
                let joined = HeaderValue::from_bytes(&joined).map_err(|_| Fault::Invalid(format!("{name} cannot be appended to")))?;
                headers.insert(name, joined);
            }
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for (name, value) in &self.add_if_absent {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        for (name, value) in self.overwrite.iter() {
            if headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
        for name in &self.remove {
            headers.remove(name);
        }
        let lists = [&self.set, &self.append, &self.add, &self.add_if_absent, &self.overwrite];
        let changed = path.is_some() || lists.iter().any(|list| !list.is_empty());
        if let Some(path) = path {
            request.path = Some(path);
        }
        Ok(changed || !self.remove.is_empty())
    }

    /// With other parameters; `None` where they stay as they are.
    fn path(&self, request: &RequestHead) -> Result<Option<RequestPath>, Fault> {
        if (self.query_set.is_empty() && self.query_remove.is_empty()) || request.method == Method::CONNECT {
            return Ok(None);
        }
        let name_of = |pair: &str| pair.split_once('=').map_or(pair, |(name, _)| name).to_owned();
        let written = |(name, value): &(String, String)| format!("{}={}", encoded(name), encoded(value));
        let mut unset: Vec<&(String, String)> = self.query_set.iter().collect();
        let mut pairs: Vec<String> = Vec::new();
        let present = request.query().into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty());
        for pair in present {
            let name = name_of(pair);
            if let Some(at) = unset.iter().position(|(set, _)| *set == name) {
                pairs.push(written(unset.remove(at)));
            } else if !self.query_remove.contains(&name) && !self.query_set.iter().any(|(set, _)| *set == name) {
                pairs.push(pair.to_owned());
            }
        }
        pairs.extend(unset.into_iter().map(written));
        let path = request.path_only();
        let text = if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) };
        RequestPath::from_bytes(text.as_bytes()).map(Some).map_err(|_| Fault::Invalid("a parameter that no path can have".to_owned()))
    }
}

/// What may not stand in a parameter is percent-encoded.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl ResponseChanges {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        [&self.add, &self.set, &self.add_if_absent, &self.overwrite].iter().all(|list| list.is_empty())
    }

    /// Changes an answer.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add_if_absent {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        for (name, value) in &self.overwrite {
            if headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
    }
}
