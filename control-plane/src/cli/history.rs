//! `ninon history` and `ninon rollback`.

use clap::Args;
use serde_json::json;

use crate::api::apply::Applied;
use crate::api::revisions::{Revisions, ShownChange};
use crate::cli::apply::word;
use crate::cli::client::Client;
use crate::cli::kinds::{encoded, key, kind, meant, short};
use crate::cli::table::table;
use crate::cli::{Ending, Output, Server, Stop, Terminal, Why, diff};
use crate::model::name::{Key, Name};
use crate::source::print::yaml;
use crate::store::object::Object;
use crate::store::revision::Verdict;

/// What `history` is told.
#[derive(Args, Debug)]
pub struct History {
    /// Only of one object: KIND NAME, or KIND/NAME
    #[arg(value_name = "KIND NAME", num_args = 0..=2)]
    words: Vec<String>,
    /// The object's namespace [default: default]
    #[arg(short, long, env = "NINON_NAMESPACE")]
    namespace: Option<String>,
    /// Revisions that are shown
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// How they are shown
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// What `rollback` is told.
#[derive(Args, Debug)]
pub struct Rollback {
    /// The revision whose objects are wanted back; `ninon history` shows them
    revision: u64,
    /// Only show what would change, of objects and of what proxies are told
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    server: Server,
}

/// Changes of a revision that are told one by one in a table.
const TOLD: usize = 3;

impl History {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let mut query = format!("limit={}", self.limit);
        if !self.words.is_empty() {
            let named = meant(&self.words)?;
            let [(kind, Some(name))] = named.as_slice() else {
                return Err(Stop::Usage("history is of everything, or of one object: KIND NAME".to_owned()));
            };
            let key = key(*kind, name, self.namespace.as_deref());
            let (namespace, name) = (encoded(&key.name.namespace), encoded(&key.name.name));
            query = format!("{query}&kind={}&namespace={namespace}&name={name}", kind.plural());
        }
        let answer = Client::new(&self.server)?.get(&format!("/api/v1/revisions?{query}"))?;
        if matches!(self.output, Output::Json | Output::Yaml) {
            let value = answer.read()?;
            let text =
                if self.output == Output::Yaml { yaml(&value) } else { serde_json::to_string_pretty(&value).unwrap_or_default() + "\n" };
            terminal.out.write_all(text.as_bytes())?;
            return Ok(Ending::Done);
        }
        let history: Revisions = answer.read()?;
        let rows = history.items.iter().map(|item| {
            let told = if self.output == Output::Wide { usize::MAX } else { TOLD };
            let message = item.message.replace('\n', " ");
            vec![item.revision.to_string(), item.time.clone(), item.author.clone(), changes(&item.changes, told), message]
        });
        let rows: Vec<_> = rows.collect();
        match self.output {
            Output::Name => rows.iter().filter_map(|row| row.first()).try_for_each(|number| writeln!(terminal.out, "{number}"))?,
            Output::Table | Output::Wide | Output::Json | Output::Yaml => {
                write!(terminal.out, "{}", table(&["REVISION", "TIME", "AUTHOR", "CHANGES", "MESSAGE"], &rows))?
            }
        }
        Ok(Ending::Done)
    }
}

fn changes(changes: &[ShownChange], told: usize) -> String {
    let one = |change: &ShownChange| {
        let name = kind(&change.kind).map_or_else(|_| change.name.clone(), |kind| short(kind, &change.name));
        let place = if change.namespace.is_empty() { String::new() } else { format!(" in {}", change.namespace) };
        format!("{name}{place} {}", word(change.change))
    };
    let mut words: Vec<_> = changes.iter().take(told).map(one).collect();
    if changes.len() > told {
        words.push(format!("and {} more", changes.len() - told));
    }
    words.join(", ")
}

impl Rollback {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let Why { message, author } = &self.why;
        let body = json!({"revision": self.revision, "message": message});
        let path = format!("/api/v1/rollback?author={}&dryRun={}", encoded(author), self.dry_run);
        let applied: Applied = Client::new(&self.server)?.post(&path, &body)?.read()?;
        if self.dry_run {
            return self.show(&applied, terminal);
        }
        for result in &applied.results {
            writeln!(terminal.out, "{} {}", short(kind(&result.kind)?, &result.name), word(result.result))?;
        }
        match applied.revision {
            Some(made) => writeln!(terminal.out, "revision {made} has the objects of revision {}", self.revision)?,
            None => writeln!(terminal.out, "the objects are those of revision {} already", self.revision)?,
        }
        Ok(Ending::Done)
    }

    /// What would change, in the form of `diff`.
    fn show(&self, applied: &Applied, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        for result in applied.results.iter().filter(|result| result.result != Verdict::Unchanged) {
            let key = Key { kind: kind(&result.kind)?, name: Name::new(result.namespace.as_str(), result.name.as_str()) };
            let [before, after] = [&result.before, &result.after].map(|object| object.as_ref().map(Object::value));
            write!(terminal.out, "{}", diff::shown(&key, before, after, &format!("revision {}", self.revision)))?;
        }
        write!(terminal.out, "{}", diff::told(applied.proxies.as_deref().unwrap_or_default()))?;
        if applied.results.iter().all(|result| result.result == Verdict::Unchanged) {
            writeln!(terminal.out, "the objects are those of revision {} already", self.revision)?;
        }
        Ok(Ending::Done)
    }
}
