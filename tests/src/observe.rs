//! What a client or an upstream saw, and how it is written down for people and for the comparison.

use crate::compare::{Rules, shown_header};
use std::fmt::Write;

/// A request or a response. In HTTP/2 the start line is made up of the pseudo headers.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Request or status line.
    pub start: String,
    /// `name: value`, in order of arrival.
    pub headers: Vec<String>,
    /// Without its framing.
    pub body: Vec<u8>,
    /// How the length was told; empty when there was no body to tell.
    pub framing: String,
    /// `name: value`.
    pub trailers: Vec<String>,
    /// Whether the message ended as its framing says.
    pub complete: bool,
    /// HTTP/2: the code of the reset that ended it.
    pub reset: Option<String>,
}

impl Message {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.headers.iter().filter_map(|line| line.split_once(':'));
        pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The number in a status line.
    pub fn status(&self) -> Option<u16> {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok())
    }

    fn write(&self, rules: &Rules, indent: &str, out: &mut String) {
        let _ = writeln!(out, "{indent}{}", printable(self.start.as_bytes()));
        for (title, lines) in [("", &self.headers), ("trailer ", &self.trailers)] {
            let mut shown: Vec<_> = lines.iter().filter_map(|line| shown_header(line, rules)).collect();
            // Stable by name only: the order of two values of one name means something.
            shown.sort_by(|one, two| one.0.cmp(&two.0));
            for (name, value) in shown {
                let _ = writeln!(out, "{indent}  {title}{name}: {}", printable(&crate::wire::to_bytes(&value)));
            }
        }
        if !self.framing.is_empty() && rules.framing {
            let _ = writeln!(out, "{indent}  framing: {}", self.framing);
        }
        if rules.body {
            let _ = writeln!(out, "{indent}  body: {}", quoted(&self.body));
        }
        match &self.reset {
            Some(code) => drop(writeln!(out, "{indent}  reset: {code}")),
            None if !self.complete => drop(writeln!(out, "{indent}  cut off")),
            None => {}
        }
    }
}

/// One thing that happened on a connection.
#[derive(Clone, Debug)]
pub enum Event {
    /// A whole request or response.
    Message(Message),
    /// Bytes outside any HTTP message.
    Bytes(Vec<u8>),
    /// Anything else, in words.
    Note(String),
}

/// What was seen on one connection.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// In order.
    pub events: Vec<Event>,
    /// How the proxy left it when the script was over.
    pub end: String,
}

impl Connection {
    fn write(&self, title: &str, rules: &Rules, out: &mut String) {
        let _ = writeln!(out, "{title}");
        for event in &self.events {
            match event {
                Event::Message(message) => message.write(rules, "  ", out),
                Event::Bytes(bytes) => drop(writeln!(out, "  bytes: {}", quoted(bytes))),
                Event::Note(note) => drop(writeln!(out, "  {note}")),
            }
        }
        if rules.end {
            let _ = writeln!(out, "  {}", self.end);
        }
    }
}

/// All that one run of a case showed.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Client connections by name, in order of first use.
    pub clients: Vec<(String, Connection)>,
    /// Upstreams by name, each with its connections in order of acceptance.
    pub upstreams: Vec<(String, Vec<Connection>)>,
    /// Lines of the access log, if the case has one.
    pub access_log: Option<Vec<String>>,
    /// What the ports of this run stand for.
    pub ports: Vec<(u16, String)>,
    /// The folder of this run, shown as `<folder>`.
    pub folder: String,
}

impl Observation {
    /// Every status that the clients got, connection by connection.
    pub fn statuses(&self) -> Vec<u16> {
        let events = self.clients.iter().flat_map(|(_, connection)| &connection.events);
        let messages = events.filter_map(|event| if let Event::Message(message) = event { Some(message) } else { None });
        messages.filter_map(Message::status).collect()
    }

    /// The text that is compared and shown.
    pub fn render(&self, rules: &Rules) -> String {
        let mut out = String::new();
        for (name, connection) in &self.clients {
            connection.write(&format!("client {name}"), rules, &mut out);
        }
        for (name, connections) in &self.upstreams {
            for (index, connection) in connections.iter().enumerate() {
                connection.write(&format!("upstream {name} connection {index}"), rules, &mut out);
            }
        }
        for line in self.access_log.iter().flatten() {
            let _ = writeln!(out, "log: {line}");
        }
        if !self.folder.is_empty() {
            out = out.replace(&self.folder, "<folder>");
        }
        name_ports(&out, &self.ports)
    }
}

/// Replaces each port of the run by what it stands for: the two runs have different ones.
fn name_ports(text: &str, ports: &[(u16, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    for character in text.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        let port = digits.parse().ok().and_then(|number: u16| ports.iter().find(|(port, _)| *port == number && number != 0));
        match port {
            Some((_, name)) => drop(write!(out, "<{name}>")),
            None => out.push_str(&digits),
        }
        digits.clear();
        out.push(character);
    }
    out.pop();
    out
}

/// Control bytes escaped, the rest as it is.
fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// Long bodies are told by length and hash.
fn quoted(bytes: &[u8]) -> String {
    if bytes.len() <= 600 {
        return format!("\"{}\"", printable(bytes));
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{} bytes, hash {hash:016x}", bytes.len())
}
