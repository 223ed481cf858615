//! Values for the commands of a `Format`: in access logs, headers and local replies.
//!
//! What comes from a peer cannot break a line: text logs escape control characters, JSON escapes what JSON must.

/// What filters have found out as text.
mod found;
/// gRPC status of an exchange.
mod grpc;
/// Times as text.
mod time;
/// What each command stands for.
mod value;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::io::Write;

use http::HeaderMap;

use crate::config::access_log::{JsonValue, LogFormat};
use crate::config::format::{Format, FormatItem};
use crate::exchange::{Found, RequestHead, StreamInfo};

pub use value::value;

/// What is written where a value is not known, in text logs (as Envoy).
pub const MISSING: &str = "-";

/// All that commands can tell about.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Addresses, times, sizes, outcome.
    pub info: &'a StreamInfo,
    /// The request as it is now: after mutations and rewrites, where there were any.
    pub request: Option<&'a RequestHead>,
    /// Fields of the response.
    pub response: Option<&'a HeaderMap>,
    /// Trailers of the response.
    pub trailers: Option<&'a HeaderMap>,
    /// Body of an answer that the proxy made itself.
    pub local_reply_body: Option<&'a str>,
    /// Name of this machine.
    pub hostname: &'a str,
}

impl<'a> Exchange<'a> {
    /// Of a connection, or of a request of which nothing is known yet.
    pub fn of_connection(info: &'a StreamInfo, hostname: &'a str) -> Self {
        Self { info, request: None, response: None, trailers: None, local_reply_body: None, hostname }
    }
}

/// A command's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Stays a number in JSON.
    Number(u64),
    /// Text; bytes, because header values need not be UTF-8.
    Text(Cow<'a, [u8]>),
    /// What a filter has found out; stays what it is in JSON.
    Found(Found<'a>),
}

/// Appends a line of an access log. The line end of text is part of its format.
pub fn log_line(format: &LogFormat, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    match format {
        LogFormat::Text { format, omit_empty } => write(format, exchange, out, missing(*omit_empty)),
        LogFormat::Json { fields, omit_empty } => out.extend_from_slice(json_line(fields, exchange, *omit_empty).as_bytes()),
    }
}

/// The body of a local reply: nothing is escaped in text.
pub fn render(format: &LogFormat, exchange: &Exchange<'_>) -> String {
    match format {
        LogFormat::Json { fields, omit_empty } => json_line(fields, exchange, *omit_empty),
        LogFormat::Text { format, omit_empty } => {
            let mut out = Vec::new();
            write_bytes(format, exchange, &mut out, missing(*omit_empty));
            String::from_utf8(out).unwrap_or_else(|error| readable(error.as_bytes()).into_owned())
        }
    }
}

fn missing(omit_empty: bool) -> &'static str {
    if omit_empty { "" } else { MISSING }
}

/// Appends a text with control characters of values escaped (a line end is `\x0a`), and bytes that are not UTF-8 likewise.
pub fn write(format: &Format, exchange: &Exchange<'_>, out: &mut Vec<u8>, missing: &str) {
    write_with(format, exchange, out, missing, push_escaped);
}

/// Appends a text as it is, for headers and bodies.
pub fn write_bytes(format: &Format, exchange: &Exchange<'_>, out: &mut Vec<u8>, missing: &str) {
    write_with(format, exchange, out, missing, |out, text| out.extend_from_slice(text));
}

fn write_with(format: &Format, exchange: &Exchange<'_>, out: &mut Vec<u8>, missing: &str, push: impl Fn(&mut Vec<u8>, &[u8])) {
    for item in &format.items {
        match item {
            FormatItem::Literal(text) => out.extend_from_slice(text.as_bytes()),
            FormatItem::Command(command, limit) => match value(command, exchange) {
                None => out.extend_from_slice(missing.as_bytes()),
                Some(Value::Number(number)) => push_number(out, number),
                Some(Value::Text(text)) => push(out, cut(&text, *limit)),
                Some(Value::Found(found)) => push(out, cut(found::text(found).as_bytes(), *limit)),
            },
        }
    }
}

/// A JSON object and a line end. Fields are sorted by name, as Envoy does; `omit_empty` leaves out what is not known, else it is `null`.
pub fn json_line(fields: &[(String, JsonValue)], exchange: &Exchange<'_>, omit_empty: bool) -> String {
    let mut out = String::with_capacity(256);
    Json { exchange, omit_empty, out: &mut out }.object(fields);
    out.push('\n');
    out
}

struct Json<'a, 'b> {
    exchange: &'a Exchange<'a>,
    omit_empty: bool,
    out: &'b mut String,
}

impl Json<'_, '_> {
    fn object(&mut self, fields: &[(String, JsonValue)]) {
        self.out.push('{');
        let mut first = true;
        if fields.is_sorted_by(|(left, _), (right, _)| left <= right) {
            fields.iter().for_each(|field| self.field(field, &mut first));
        } else {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
            sorted.into_iter().for_each(|field| self.field(field, &mut first));
        }
        self.out.push('}');
    }

    fn field(&mut self, (name, value): &(String, JsonValue), first: &mut bool) {
        let mark = self.out.len();
        if !*first {
            self.out.push(',');
        }
        push_json(self.out, name);
        self.out.push(':');
        if self.value(value) {
            *first = false;
        } else {
            self.out.truncate(mark);
        }
    }

    /// Appends a value. `false`: it is to be left out, with what was written before it.
    fn value(&mut self, value: &JsonValue) -> bool {
        match value {
            JsonValue::Format(format) => return self.format(format),
            JsonValue::Object(fields) => self.object(fields),
            JsonValue::List(values) => self.list(values),
            JsonValue::Number(number) if number.is_finite() => self.out.push_str(&number.to_string()),
            JsonValue::Bool(true) => self.out.push_str("true"),
            JsonValue::Bool(false) => self.out.push_str("false"),
            JsonValue::Number(_) | JsonValue::Null => return self.null(),
        }
        true
    }

    fn list(&mut self, values: &[JsonValue]) {
        self.out.push('[');
        let mut first = true;
        for value in values {
            let mark = self.out.len();
            if !first {
                self.out.push(',');
            }
            if self.value(value) {
                first = false;
            } else {
                self.out.truncate(mark);
            }
        }
        self.out.push(']');
    }

    fn format(&mut self, format: &Format) -> bool {
        let Some((command, limit)) = format.single() else {
            let mut text = Vec::new();
            write_bytes(format, self.exchange, &mut text, missing(self.omit_empty));
            push_json(self.out, &readable(&text));
            return true;
        };
        match value(command, self.exchange) {
            None => return self.null(),
            Some(Value::Number(number)) => self.out.push_str(&number.to_string()),
            Some(Value::Text(text)) => push_json(self.out, &readable(cut(&text, limit))),
            Some(Value::Found(found)) => found::push(self.out, found),
        }
        true
    }

    fn null(&mut self) -> bool {
        self.out.push_str("null");
        !self.omit_empty
    }
}

/// Not more than `limit` bytes; a character is not cut in two.
fn cut(text: &[u8], limit: Option<usize>) -> &[u8] {
    let Some(head) = limit.and_then(|limit| text.get(..limit)) else { return text };
    let continues = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let behind = text.get(head.len());
    if !behind.is_some_and(continues) || std::str::from_utf8(text).is_err() {
        return head;
    }
    let kept = head.iter().rposition(|byte| !continues(byte)).unwrap_or(0);
    head.get(..kept).unwrap_or(head)
}

/// UTF-8 as it is; otherwise each byte stands for the character of its number, as Envoy does.
fn readable(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(text.iter().copied().map(char::from).collect()),
    }
}

fn push_json(out: &mut String, text: &str) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{number}");
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        if valid.chars().any(char::is_control) {
            valid.chars().for_each(|c| push_character(out, c));
        } else {
            out.extend_from_slice(valid.as_bytes());
        }
        for byte in chunk.invalid() {
            // Writing to memory cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

fn push_character(out: &mut Vec<u8>, character: char) {
    if character.is_control() {
        // Writing to memory cannot fail.
        let _ = write!(out, "\\x{:02x}", u32::from(character));
    } else {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}
