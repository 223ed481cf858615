//! A case: one small YAML file. `differential/README.md` describes every key for authors.

use crate::bootstrap::Places;
use crate::names::Answers;
use crate::upstream::CheckResponse;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// One file of the suite.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The fact that the case pins, in one sentence.
    pub description: String,
    /// What differs from the standard bootstrap.
    #[serde(default)]
    pub config: Value,
    /// Servers behind the proxy; each is a cluster of its name, too.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Upstream>,
    /// What the name server at `{{dns}}` answers.
    #[serde(default)]
    pub dns: Answers,
    /// What the client does.
    pub steps: Vec<Step>,
    /// What is left out of the comparison.
    #[serde(default)]
    pub compare: Compare,
    /// A difference on purpose.
    pub differs: Option<Differs>,
    /// Facts that must hold on each side, so that no comparison of nothing passes.
    pub expect: Expect,
    /// `<topic>/<name>`.
    #[serde(skip)]
    pub name: String,
}

/// A server behind the proxy.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// What it speaks.
    #[serde(default)]
    pub protocol: Protocol,
    /// Its first, second, ... answer; the last one is repeated.
    #[serde(default)]
    pub respond: Vec<Respond>,
    /// TCP: sent as soon as a connection is accepted.
    pub greet: Option<String>,
    /// It listens at this Unix socket, a path or `@` and a name; `{{upstream.<name>}}` is that.
    pub unix: Option<String>,
    /// Another address of this machine than 127.0.0.1.
    pub address: Option<IpAddr>,
    /// It has the port of this upstream, whose name comes earlier, at another address.
    pub port_of: Option<String>,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1, every byte under control.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Bytes.
    Tcp,
    /// Nobody listens on its port.
    Refuse,
    /// Connections are never completed.
    Blackhole,
}

/// One answer of an upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Respond {
    /// 200 when left out.
    pub status: Option<u16>,
    /// `name: value`.
    pub headers: Vec<String>,
    /// The upstream's name when left out.
    pub body: Option<String>,
    /// HTTP/2: a `CheckResponse` of an authorization service, as JSON.
    pub check: Option<CheckResponse>,
    /// The body is this many letters `x`.
    pub size: Option<usize>,
    /// HTTP/1: chunked instead of a content length.
    pub chunked: bool,
    /// Sent after the body (chunked in HTTP/1).
    pub trailers: Vec<String>,
    /// Milliseconds before the answer.
    pub delay: u64,
    /// Sent before the request's body is read, such as `HTTP/1.1 100 Continue`.
    pub interim: Vec<String>,
    /// The answer does not wait for the request's body.
    pub early: bool,
    /// HTTP/1: these bytes are the whole answer. TCP: sent once, after the first bytes received.
    pub raw: Option<String>,
    /// HTTP/2: resets the stream with this code, in place of (status left out) or after the answer's head and body.
    pub reset: Option<String>,
    /// HTTP/2: sends GOAWAY after this answer.
    pub goaway: bool,
    /// What happens after the answer.
    pub then: Then,
    /// TCP and upgrades: sends back what it gets.
    pub echo: bool,
}

/// What an upstream does with the connection after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// Waits for the next request.
    #[default]
    Keep,
    /// Closes.
    Close,
    /// Resets.
    Reset,
    /// Closes, and has not answered at all.
    Drop,
    /// Resets, and has not answered at all.
    Abort,
    /// Never answers.
    Hang,
}

/// One action of the client.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Which connection; opened when first named.
    #[serde(default = "main_connection")]
    pub conn: String,
    /// Where the connection goes: `127.0.0.1:{{listener}}` unless another address, a path, or `@` and a name is given.
    pub to: Option<String>,
    /// Before the step: what the name server answers from now on; the proxy has asked twice when the step begins.
    pub dns: Option<Answers>,
    /// `METHOD TARGET VERSION`; with `HTTP/2` the connection speaks HTTP/2.
    pub request: Option<String>,
    /// `name: value`; `host: example.com` is added unless there is a host, or `no-host`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Adds a content length (HTTP/1).
    pub body: Option<String>,
    /// A body of this many letters `x`.
    pub size: Option<usize>,
    /// A chunked body, one entry per chunk.
    #[serde(default)]
    pub chunks: Vec<String>,
    /// After the chunks, or in HTTP/2 after the body.
    #[serde(default)]
    pub trailers: Vec<String>,
    /// HTTP/1 and TCP: exactly these bytes.
    pub raw: Option<String>,
    /// A TLS ClientHello as raw bytes.
    pub hello: Option<Hello>,
    /// How many responses to read; 1 after `request`, 0 otherwise.
    pub responses: Option<usize>,
    /// Raw bytes to read: a number, or -1 for all to the end.
    pub read: Option<i64>,
    /// Tells a reset from a close after `read: -1`. Usually it is chance: it depends on what the proxy had read by then.
    #[serde(default)]
    pub tell_reset: bool,
    /// HTTP/2 frames read from a connection that speaks raw bytes, until it is silent.
    #[serde(default)]
    pub frames: bool,
    /// Does the step this many times.
    pub repeat: Option<usize>,
    /// Milliseconds to wait before.
    #[serde(default)]
    pub wait: u64,
    /// The step must not take more milliseconds than this; notes it when it does.
    pub within: Option<u64>,
    /// Ends the connection after the step.
    pub close: Option<Close>,
}

impl Step {
    /// The step with the placeholders of ports, such as `{{listener}}`, filled in.
    pub fn with_places(&self, places: &Places) -> Self {
        let fill = |text: &String| places.iter().fold(text.clone(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value));
        Self {
            to: self.to.as_ref().map(fill),
            request: self.request.as_ref().map(fill),
            raw: self.raw.as_ref().map(fill),
            headers: self.headers.iter().map(fill).collect(),
            ..self.clone()
        }
    }
}

/// What a ClientHello asks for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Server name, if any.
    pub sni: Option<String>,
    /// Protocols offered.
    #[serde(default)]
    pub alpn: Vec<String>,
    /// Sent in pieces of this many bytes.
    pub pieces: Option<usize>,
}

/// How a client ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// FIN, and still reads.
    Write,
    /// Closes both ways.
    Both,
    /// RST.
    Reset,
}

/// What is left out of the comparison of one case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compare {
    /// These headers and trailers.
    pub without_headers: Vec<String>,
    /// Bodies.
    pub without_body: bool,
    /// How bodies were framed.
    pub without_framing: bool,
    /// Whether connections were left open.
    pub without_end: bool,
    /// Upstreams of these names.
    pub without_upstreams: Vec<String>,
    /// Milliseconds that a connection gets to be closed by the proxy after the last step.
    pub settle: Option<u64>,
}

/// A difference on purpose: Envoy and Ninon are each held to their own facts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differs {
    /// What is different.
    pub what: String,
    /// Why.
    pub reason: String,
    /// What Ninon does instead; `expect` then speaks of Envoy only.
    pub ninon: Expect,
}

/// Facts that must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// All statuses that the client got, in order, connection by connection.
    pub status: Option<Vec<u16>>,
    /// Pieces of the rendered observation.
    pub sees: Vec<String>,
    /// Pieces that must not be in it.
    pub never: Vec<String>,
}

impl Expect {
    /// Whether anything is asserted at all.
    pub fn is_empty(&self) -> bool {
        self.status.is_none() && self.sees.is_empty()
    }
}

fn main_connection() -> String {
    "main".to_owned()
}

/// Every case of `differential/`, by name. A file that cannot be read is an error with its name.
pub fn load(folder: &Path) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for topic in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        for file in entries(&topic)?.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "yaml")) {
            let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let mut case: Case = serde_saphyr::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
            case.name = format!("{}/{}", stem(&topic), stem(&file));
            if case.expect.is_empty() {
                return Err(format!("{}: `expect` asserts nothing", file.display()));
            }
            cases.push(case);
        }
    }
    Ok(cases)
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, String> {
    let read = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<_> = read.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
