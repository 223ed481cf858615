//! `ninon get`.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::kinds::{DEFAULT, encoded, key, meant, path, short};
use crate::cli::table::{since, table};
use crate::cli::{Ending, Output, Server, Stop, Terminal};
use crate::model::kind::Kind;
use crate::source::print::yaml;

/// What `get` is told.
#[derive(Args, Debug)]
pub struct Get {
    /// KIND, KIND,KIND, KIND NAME..., or KIND/NAME...
    #[arg(value_name = "KIND NAME", required = true)]
    words: Vec<String>,
    /// The namespace [default: default]
    #[arg(short, long, env = "NINON_NAMESPACE")]
    namespace: Option<String>,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// How objects are shown
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// Labels that objects must have, as in `app=web,tier!=back,track in (a,b)`
    #[arg(short = 'l', long, value_name = "LABELS", default_value = "")]
    selector: String,
    /// Go on and show what changes
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    server: Server,
}

impl Get {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let client = Client::new(&self.server)?;
        let meant = meant(&self.words)?;
        let mut found: Vec<(Kind, Value)> = Vec::new();
        let mut missing = false;
        let mut version = String::new();
        for (kind, name) in &meant {
            let Some(name) = name else {
                let list: Value = client.get(&format!("{}?labelSelector={}", self.collection(*kind), encoded(&self.selector)))?.read()?;
                version = list.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
                let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
                found.extend(items.into_iter().map(|item| (*kind, item)));
                continue;
            };
            match client.find(&path(&key(*kind, name, self.namespace.as_deref())))? {
                Some(object) => found.push((*kind, object)),
                None => {
                    missing = true;
                    writeln!(terminal.err, "error: {} does not exist", key(*kind, name, self.namespace.as_deref()))?;
                }
            }
        }
        let is_one = matches!(meant.as_slice(), [(_, Some(_))]);
        self.show(&found, is_one, missing, terminal)?;
        if self.watch {
            self.follow(&client, &meant, &version, terminal)?;
        }
        Ok(if missing { Ending::Failed } else { Ending::Done })
    }

    fn collection(&self, kind: Kind) -> String {
        if self.all_namespaces || !kind.is_namespaced() {
            return format!("/api/v1/{}", kind.plural());
        }
        format!("/api/v1/{}/{}", kind.plural(), encoded(self.namespace.as_deref().unwrap_or(DEFAULT)))
    }

    fn show(&self, found: &[(Kind, Value)], is_one: bool, missing: bool, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        match (self.output, found) {
            (_, []) if missing => {}
            (Output::Table | Output::Wide | Output::Name, []) if !self.watch => writeln!(terminal.err, "nothing found")?,
            (Output::Name, found) => {
                for (kind, object) in found {
                    writeln!(terminal.out, "{}", short(*kind, &text(object, "/metadata/name")))?;
                }
            }
            (Output::Table | Output::Wide, found) => {
                // Each kind has columns of its own.
                for (at, of_kind) in found.chunk_by(|one, other| one.0 == other.0).enumerate() {
                    if at > 0 {
                        writeln!(terminal.out)?;
                    }
                    write!(terminal.out, "{}", self.table(of_kind))?;
                }
            }
            (Output::Json | Output::Yaml, [(_, object)]) if is_one => self.print(object, terminal)?,
            (Output::Json | Output::Yaml, found) => {
                let items: Vec<&Value> = found.iter().map(|(_, object)| object).collect();
                self.print(&json!({"apiVersion": "v1", "kind": "List", "items": items}), terminal)?;
            }
        }
        Ok(())
    }

    fn print(&self, value: &Value, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        let text = match self.output {
            Output::Yaml => yaml(value),
            Output::Json | Output::Table | Output::Wide | Output::Name => serde_json::to_string_pretty(value).unwrap_or_default() + "\n",
        };
        Ok(terminal.out.write_all(text.as_bytes())?)
    }

    fn table(&self, found: &[(Kind, Value)]) -> String {
        let kind = found.first().map(|(kind, _)| *kind);
        let own = kind.map_or(&[][..], columns);
        let mut head: Vec<&str> = Vec::new();
        head.extend(self.all_namespaces.then_some("NAMESPACE"));
        head.push("NAME");
        head.extend(own.iter().map(|(name, _)| *name));
        head.push("AGE");
        if self.output == Output::Wide {
            head.extend(["VERSION", "LABELS"]);
        }
        let rows: Vec<_> = found.iter().map(|(_, object)| self.row(object, own)).collect();
        table(&head, &rows)
    }

    fn row(&self, object: &Value, own: &[(&str, Column)]) -> Vec<String> {
        let mut row = Vec::new();
        row.extend(self.all_namespaces.then(|| text(object, "/metadata/namespace")));
        row.push(text(object, "/metadata/name"));
        row.extend(own.iter().map(|(_, column)| column(object)));
        row.push(since(&text(object, "/metadata/creationTimestamp")));
        if self.output == Output::Wide {
            let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
            let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={}", plain(value))).collect();
            row.push(text(object, "/metadata/resourceVersion"));
            row.push(if labels.is_empty() { "-".to_owned() } else { labels.join(",") });
        }
        row
    }

    fn follow(&self, client: &Client, meant: &[(Kind, Option<String>)], version: &str, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        let [(kind, name)] = meant else {
            return Err(Stop::Usage("only one kind, or one object, can be watched at a time".to_owned()));
        };
        let selector = encoded(&self.selector);
        let path = format!("{}?watch=true&labelSelector={selector}&resourceVersion={version}", self.collection(*kind));
        terminal.out.flush()?;
        for event in client.lines(&path)? {
            let event = event?;
            let object = event.get("object").unwrap_or(&Value::Null);
            let is_meant = name.as_ref().is_none_or(|name| text(object, "/metadata/name") == *name);
            match text(&event, "/type").as_str() {
                "BOOKMARK" => continue,
                "ERROR" => return Err(Stop::Refused(text(object, "/detail"))),
                _ if !is_meant => continue,
                change => self.show_change(*kind, change, object, terminal)?,
            }
            terminal.out.flush()?;
        }
        Ok(())
    }

    fn show_change(&self, kind: Kind, change: &str, object: &Value, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
        match self.output {
            Output::Json | Output::Yaml => {
                if self.output == Output::Yaml {
                    writeln!(terminal.out, "---")?;
                }
                self.print(object, terminal)
            }
            Output::Name => Ok(writeln!(terminal.out, "{}", short(kind, &text(object, "/metadata/name")))?),
            Output::Table | Output::Wide => {
                let mut row = self.row(object, columns(kind));
                row.push(change.to_lowercase());
                Ok(writeln!(terminal.out, "{}", row.join("   "))?)
            }
        }
    }
}

type Column = fn(&Value) -> String;

/// What is told of a kind beside name and age.
fn columns(kind: Kind) -> &'static [(&'static str, Column)] {
    match kind {
        Kind::Service => &[("PORTS", ports)],
        Kind::EndpointSlice => &[("ENDPOINTS", |object| count(object, "/endpoints")), ("PORTS", |object| each(object, "/ports", "port"))],
        Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute => {
            &[("HOSTNAMES", |object| each(object, "/spec/hostnames", "")), ("PARENTS", |object| each(object, "/spec/parentRefs", "name"))]
        }
        Kind::TcpRoute => &[("PARENTS", |object| each(object, "/spec/parentRefs", "name"))],
        Kind::Workload => &[
            ("ADDRESSES", |object| each(object, "/spec/addresses", "")),
            ("PORTS", |object| each(object, "/spec/ports", "port")),
            ("SOURCE", source),
        ],
        Kind::RequestAuthentication => &[("ISSUERS", |object| each(object, "/spec/jwtRules", "issuer"))],
        Kind::AuthorizationPolicy => &[("ACTION", |object| match text(object, "/spec/action") {
            action if action.is_empty() => "ALLOW".to_owned(),
            action => action,
        })],
        Kind::ReferenceGrant | Kind::TrafficPolicy | Kind::ExternalService | Kind::PeerAuthentication | Kind::MeshConfig => &[],
    }
}

fn ports(object: &Value) -> String {
    let ports = object.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let ports: Vec<_> = ports
        .map(|port| {
            let protocol = port.get("appProtocol").or_else(|| port.get("protocol")).map_or_else(|| "TCP".to_owned(), plain);
            format!("{}/{protocol}", port.get("port").map(plain).unwrap_or_default())
        })
        .collect();
    ports.join(",")
}

/// Whether a sidecar has registered it, and how far that is.
fn source(object: &Value) -> String {
    let of = |field: &str| object.pointer(field).and_then(Value::as_str);
    match (of("/status/source"), of("/status/state")) {
        (Some("registration"), Some("serving")) => "registered".to_owned(),
        (Some("registration"), Some(state)) => format!("registered, {state}"),
        _ => "written".to_owned(),
    }
}

fn count(object: &Value, list: &str) -> String {
    object.pointer(list).and_then(Value::as_array).map_or(0, Vec::len).to_string()
}

/// A field of each of a list, or each of it.
fn each(object: &Value, list: &str, field: &str) -> String {
    let items = object.pointer(list).and_then(Value::as_array).into_iter().flatten();
    let items: Vec<_> = items.filter_map(|item| if field.is_empty() { Some(item) } else { item.get(field) }).map(plain).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
