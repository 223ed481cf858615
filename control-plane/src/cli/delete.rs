//! `ninon delete`.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::files::Files;
use crate::cli::kinds::{encoded, key, meant, path};
use crate::cli::{Ending, Server, Stop, Terminal, Why};
use crate::model::name::Key;

/// What `delete` is told.
#[derive(Args, Debug)]
pub struct Delete {
    /// KIND NAME..., or KIND/NAME...
    #[arg(value_name = "KIND NAME", required_unless_present = "filename", conflicts_with = "filename")]
    words: Vec<String>,
    /// Delete the objects of a file or directory, or of standard input (`-`); may be given again
    #[arg(short, long, value_name = "FILE")]
    filename: Vec<PathBuf>,
    /// Go into the directories of a directory too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Namespace of what names none [default: default]
    #[arg(short, long, env = "NINON_NAMESPACE")]
    namespace: Option<String>,
    /// What is not there is no failure
    #[arg(long)]
    ignore_not_found: bool,
    /// Only say what would happen
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    server: Server,
}

impl Delete {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let keys = self.keys(terminal)?;
        let client = Client::new(&self.server)?;
        let Why { message, author } = &self.why;
        let query = format!("message={}&author={}&dryRun={}", encoded(message), encoded(author), self.dry_run);
        let mut ending = Ending::Done;
        for key in keys {
            let answer = client.delete(&format!("{}?{query}", path(&key)))?;
            match answer.status {
                404 if self.ignore_not_found => continue,
                // The others are still deleted, as by kubectl.
                404 | 409 => {
                    writeln!(terminal.err, "error: {}", answer.problem())?;
                    ending = Ending::Failed;
                    continue;
                }
                _ => answer.read::<Value>()?,
            };
            let dry = if self.dry_run { " (dry run)" } else { "" };
            writeln!(terminal.out, "{} \"{}\" deleted{dry}", key.kind.nicknames().next().unwrap_or_default(), key.name.name)?;
        }
        Ok(ending)
    }

    fn keys(&self, terminal: &mut Terminal<'_>) -> Result<Vec<Key>, Stop> {
        if !self.filename.is_empty() {
            let files = Files { filename: self.filename.clone(), recursive: self.recursive };
            return Ok(files.placed(self.namespace.as_deref(), terminal)?.into_iter().map(|(_, key, _)| key).collect());
        }
        let named = meant(&self.words)?.into_iter().map(|(kind, name)| match name {
            Some(name) => Ok(key(kind, &name, self.namespace.as_deref())),
            None => Err(Stop::Usage(format!("which {kind}? Names are needed to delete"))),
        });
        named.collect()
    }
}
