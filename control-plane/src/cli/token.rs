//! `ninon token`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::tokens::{ShownToken, ShownTokens};
use crate::cli::client::{Answer, Client};
use crate::cli::kinds::encoded;
use crate::cli::table::{harmless, since, table, until};
use crate::cli::{Ending, Output, Server, Stop, Terminal};
use crate::model::service::Labels;
use crate::source::print::yaml;

/// What `token` is told.
#[derive(Args, Debug)]
pub struct TokenCommand {
    #[command(subcommand)]
    verb: Verb,
}

/// What is to be done with tokens.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token and print it: it is shown this once
    Create(Create),
    /// Show the tokens that there are, without their secrets
    List(List),
    /// Take a token away: whoever has joined by it is sent away, too
    Revoke(Revoke),
}

/// What `token create` is told.
#[derive(Args, Debug)]
struct Create {
    /// Namespace of the workloads that may join by it
    #[arg(short, long, env = "NINON_NAMESPACE")]
    namespace: String,
    /// Service account that they have
    #[arg(long, value_name = "NAME", default_value = "default")]
    service_account: String,
    /// The only workload that may join by it [default: any of the namespace and account]
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// A label that its workloads have, and services select them by; `*` is any value. They have these labels and no others, and so
    /// have those of the certificates that come of it [default: each says its own labels]
    #[arg(long = "label", value_name = "KEY=VALUE,...", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    /// How long workloads may join by it; those that have stay
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// How many different workloads may join by it, 1 to 1000 [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    uses: Option<u32>,
    /// How it is shown: by itself, or with all that it says
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// What `token list` is told.
#[derive(Args, Debug)]
struct List {
    /// How they are shown
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// What `token revoke` is told.
#[derive(Args, Debug)]
struct Revoke {
    /// Tokens, as `token list` names them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    server: Server,
}

impl TokenCommand {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        match &self.verb {
            Verb::Create(create) => create.run(terminal),
            Verb::List(list) => list.run(terminal),
            Verb::Revoke(revoke) => revoke.run(terminal),
        }
    }
}

impl Create {
    fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let mut labels = Labels::new();
        for (key, value) in &self.labels {
            if labels.insert(key.clone(), value.clone()).is_some_and(|before| before != *value) {
                return Err(Stop::Usage(format!("--label {key}: it is there twice, with different values")));
            }
        }
        let wish = json!({
            "namespace": self.namespace,
            "serviceAccount": self.service_account,
            "workload": self.workload,
            "labels": labels,
            "ttlSeconds": self.ttl.as_secs(),
            "uses": self.uses,
        });
        let answer = Client::new(&self.server)?.post("/api/v1/tokens", &wish)?;
        if matches!(self.output, Output::Json | Output::Yaml) {
            return whole(answer, self.output, terminal);
        }
        let made: ShownToken = answer.read()?;
        let text = if self.output == Output::Name { made.id } else { made.token.unwrap_or_default() };
        writeln!(terminal.out, "{text}")?;
        Ok(Ending::Done)
    }
}

impl List {
    fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let answer = Client::new(&self.server)?.get("/api/v1/tokens")?;
        if matches!(self.output, Output::Json | Output::Yaml) {
            return whole(answer, self.output, terminal);
        }
        let ShownTokens { items } = answer.read()?;
        match (self.output, items.as_slice()) {
            (Output::Name, items) => items.iter().try_for_each(|token| writeln!(terminal.out, "{}", harmless(&token.id)))?,
            (_, []) => writeln!(terminal.err, "there are no tokens")?,
            (output, items) => write!(terminal.out, "{}", shown(items, output == Output::Wide))?,
        }
        Ok(Ending::Done)
    }
}

impl Revoke {
    fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let client = Client::new(&self.server)?;
        let mut ending = Ending::Done;
        for id in &self.ids {
            let answer = client.delete(&format!("/api/v1/tokens/{}", encoded(id)))?;
            if answer.status == 404 {
                writeln!(terminal.err, "error: {}", answer.problem())?;
                ending = Ending::Failed;
                continue;
            }
            answer.read::<Value>()?;
            writeln!(terminal.out, "token \"{}\" revoked", harmless(id))?;
        }
        Ok(ending)
    }
}

/// A label on the command line.
fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "not KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

fn whole(answer: Answer, output: Output, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
    let value: Value = answer.read()?;
    let text = if output == Output::Yaml { yaml(&value) } else { serde_json::to_string_pretty(&value).unwrap_or_default() + "\n" };
    terminal.out.write_all(text.as_bytes())?;
    Ok(Ending::Done)
}

fn shown(tokens: &[ShownToken], wide: bool) -> String {
    let mut head = vec!["ID", "NAMESPACE", "ACCOUNT", "WORKLOAD", "LABELS", "USES", "EXPIRES", "AGE"];
    head.extend(wide.then_some("JOINED"));
    let rows = tokens.iter().map(|token| {
        let uses = token.uses.map_or_else(|| "-".to_owned(), |uses| format!("{}/{uses}", token.used.len()));
        let workload = token.workload.clone().unwrap_or_else(|| "*".to_owned());
        let labels: Vec<String> = token.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let labels = if labels.is_empty() { "*".to_owned() } else { labels.join(",") };
        let expires = match (token.signed, token.expired) {
            (false, _) => "not signed".to_owned(),
            (true, true) => "expired".to_owned(),
            (true, false) => until(&token.expires),
        };
        let mut row = vec![token.id.clone(), token.namespace.clone(), token.service_account.clone(), workload, labels, uses, expires];
        row.push(since(&token.created));
        row.extend(wide.then(|| if token.used.is_empty() { "-".to_owned() } else { token.used.join(",") }));
        row
    });
    table(&head, &rows.collect::<Vec<_>>())
}
