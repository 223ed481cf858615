//! `ninon apply`.

use clap::Args;
use serde_json::{Value, json};

use crate::api::apply::Applied;
use crate::cli::client::{Answer, Client};
use crate::cli::files::{Files, Written, refused};
use crate::cli::kinds::{encoded, kind, short};
use crate::cli::{Ending, Server, Stop, Terminal, Why};
use crate::model::fault::Fault;
use crate::store::revision::Verdict;

/// What `apply` is told.
#[derive(Args, Debug)]
pub struct Apply {
    #[command(flatten)]
    files: Files,
    /// Namespace of objects that name none [default: default]
    #[arg(short, long, env = "NINON_NAMESPACE")]
    namespace: Option<String>,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    server: Server,
}

impl Apply {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let objects = self.files.placed(self.namespace.as_deref(), terminal)?;
        let body = json!({"kind": "List", "items": objects.iter().map(|(_, _, value)| value).collect::<Vec<&Value>>()});
        let Why { message, author } = &self.why;
        let query = format!("message={}&author={}&dryRun={}", encoded(message), encoded(author), self.dry_run);
        let answer = Client::new(&self.server)?.post(&format!("/api/v1/apply?{query}"), &body)?;
        if answer.status == 422 {
            return Err(located(&answer, &objects.into_iter().map(|(written, ..)| written).collect::<Vec<_>>()));
        }
        let applied: Applied = answer.read()?;
        for result in &applied.results {
            let name = short(kind(&result.kind)?, &result.name);
            let dry = if self.dry_run { " (dry run)" } else { "" };
            writeln!(terminal.out, "{name} {}{dry}", word(result.result))?;
        }
        Ok(Ending::Done)
    }
}

/// What happened to an object, in one word.
pub(super) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Created => "created",
        Verdict::Configured => "configured",
        Verdict::Unchanged => "unchanged",
        Verdict::Deleted => "deleted",
    }
}

/// The server's faults, each with its file and line.
fn located(answer: &Answer, written: &[Written]) -> Stop {
    let wrong = answer.faults().into_iter().map(|(path, problem)| {
        let (at, path) = path.strip_prefix("objects[")?.split_once(']')?;
        Some(written.get(at.parse::<usize>().ok()?)?.wrong(Fault::at(path.trim_start_matches('.'), problem)))
    });
    match wrong.collect::<Option<Vec<_>>>() {
        Some(wrong) if !wrong.is_empty() => refused(&wrong),
        _ => Stop::Refused(answer.problem()),
    }
}
