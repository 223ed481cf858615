//! `ninon proxies`.

use clap::Args;
use serde_json::Value;

use crate::api::proxies::{Config, Proxies, Proxy, ProxyType, Resource};
use crate::cli::client::Client;
use crate::cli::kinds::encoded;
use crate::cli::table::{age, table};
use crate::cli::{Ending, Output, Server, Stop, Terminal};
use crate::source::print::yaml;

/// What `proxies` is told.
#[derive(Args, Debug)]
pub struct ProxiesCommand {
    /// Only this one
    name: Option<String>,
    /// What it was sent, resource by resource: type, name, version and what became of it; with `-o json` or `yaml` what each says
    #[arg(long, requires = "name")]
    config: bool,
    /// How they are shown
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// The types of resources, in the order in which they are pushed.
const TYPES: [&str; 4] = ["CLUSTERS", "ENDPOINTS", "LISTENERS", "ROUTES"];

impl ProxiesCommand {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let path = self.name.as_ref().map_or_else(|| "/api/v1/proxies".to_owned(), |name| format!("/api/v1/proxies/{}", encoded(name)));
        let path = if self.config { format!("{path}/config") } else { path };
        let answer = Client::new(&self.server)?.get(&path)?;
        if matches!(self.output, Output::Json | Output::Yaml) {
            let value: Value = answer.read()?;
            let text =
                if self.output == Output::Yaml { yaml(&value) } else { serde_json::to_string_pretty(&value).unwrap_or_default() + "\n" };
            terminal.out.write_all(text.as_bytes())?;
            return Ok(Ending::Done);
        }
        if self.config {
            let Config { resources } = answer.read()?;
            let row = |one: Resource| vec![one.kind, one.name, dash(&one.version), one.status];
            let rows: Vec<_> = resources.into_iter().map(row).collect();
            write!(terminal.out, "{}", table(&["TYPE", "NAME", "VERSION", "STATUS"], &rows))?;
            return Ok(Ending::Done);
        }
        let proxies = if self.name.is_some() { vec![answer.read::<Proxy>()?] } else { answer.read::<Proxies>()?.items };
        match (self.output, proxies.as_slice()) {
            (Output::Name, proxies) => proxies.iter().try_for_each(|proxy| writeln!(terminal.out, "{}", proxy.id))?,
            (_, []) => writeln!(terminal.err, "no proxy is connected")?,
            (output, proxies) => write!(terminal.out, "{}", shown(proxies, output == Output::Wide))?,
        }
        for (proxy, of) in proxies.iter().flat_map(|proxy| proxy.types.iter().map(move |of| (proxy, of))) {
            if let Some(refused) = &of.refused {
                writeln!(terminal.err, "{} refused {}: {}", proxy.id, of.kind, refused.reason)?;
            }
        }
        Ok(Ending::Done)
    }
}

fn shown(proxies: &[Proxy], wide: bool) -> String {
    let mut head = vec!["NAME", "NAMESPACE", "STATE"];
    head.extend(TYPES);
    head.push("CONNECTED");
    if wide {
        head.extend(["PROTOCOL", "CLIENT", "ADDRESS", "IDENTITY"]);
    }
    let rows = proxies.iter().map(|proxy| {
        let mut row = vec![proxy.id.clone(), dash(&proxy.namespace), state(proxy)];
        row.extend(
            TYPES.map(|name| proxy.types.iter().find(|of| of.kind.eq_ignore_ascii_case(name)).map_or_else(|| "-".to_owned(), of_type)),
        );
        row.push(span(proxy.connected_seconds));
        if wide {
            let identity = proxy.identity.as_deref().unwrap_or_default();
            row.extend([&proxy.protocol, &proxy.client, &proxy.address, identity].map(dash));
        }
        row
    });
    table(&head, &rows.collect::<Vec<_>>())
}

fn state(proxy: &Proxy) -> String {
    if proxy.synced { "synced".to_owned() } else { format!("stale {}", span(proxy.stale_seconds)) }
}

/// Whether the newest was taken.
fn of_type(of: &ProxyType) -> String {
    let word = match &of.refused {
        Some(_) => "refused",
        None if of.sent.is_empty() => "-",
        None if of.sent != of.acknowledged => "sent",
        None => "synced",
    };
    word.to_owned()
}

pub(super) fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// Whole seconds.
pub(super) fn span(seconds: f64) -> String {
    age(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs())
}
