//! The operator's commands: clients of the API, with kubectl's habits.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage. `diff` says 1 for a difference, and 2 when it cannot say.

mod apply;
mod ca;
mod client;
mod delete;
mod diff;
mod files;
mod get;
mod history;
mod kinds;
mod loads;
mod proxies;
mod revoke;
mod table;
mod token;
mod validate;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use crate::model::fault::Fault;

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create or change the objects of files: all of them or none, as one revision
    Apply(apply::Apply),
    /// Show objects
    Get(get::Get),
    /// Delete objects
    Delete(delete::Delete),
    /// Show what `apply` would change; exit code 0 if nothing, 1 if something, 2 if that is not known
    Diff(diff::Diff),
    /// Show who changed what, and when, newest first
    History(history::History),
    /// Make all objects what they were after a revision
    Rollback(history::Rollback),
    /// Show the proxies that are connected, and how current they are
    Proxies(proxies::ProxiesCommand),
    /// Make, show and revoke the tokens by which workloads join
    Token(token::TokenCommand),
    /// Show the authority of the mesh, and replace its root
    Ca(ca::CaCommand),
    /// Show the load that proxies and gRPC clients report, by the cluster that they put it on
    Loads(loads::LoadsCommand),
    /// Check files without a server; every fault is told with its file, line and field
    Validate(validate::Validate),
    /// Print completions for a shell
    Completions(Completions),
}

/// Where the API is, and who asks.
#[derive(Args, Clone, Debug)]
pub struct Server {
    /// The control plane's API
    #[arg(long, value_name = "URL", env = "NINON_SERVER", default_value = "http://127.0.0.1:15014")]
    pub server: String,
    /// File with the token; `ninon serve` writes `admin-token` and `read-token` to its state directory
    #[arg(long, value_name = "FILE", env = "NINON_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

/// Why a change is made.
#[derive(Args, Clone, Debug)]
pub struct Why {
    /// Why, in words that `history` shows
    #[arg(short, long, value_name = "TEXT", default_value = "")]
    pub message: String,
    /// Who, beside what the token says
    #[arg(long, value_name = "NAME", env = "NINON_AUTHOR", default_value = "")]
    pub author: String,
}

/// What `completions` is told.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// How objects are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// In columns
    #[default]
    Table,
    /// In more columns
    Wide,
    /// As JSON
    Json,
    /// As YAML
    Yaml,
    /// Kind and name
    Name,
}

/// Where a command reads and writes.
pub struct Terminal<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
}

impl fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

/// What is wrong with an object.
pub type Check = dyn Fn(&Value) -> Result<(), Vec<Fault>>;

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// 0.
    Done,
    /// 1: refused, failed, or a check that did not hold.
    Failed,
    /// 2: wrong usage, or for `diff` that it could not say.
    Unknown,
}

impl From<Ending> for std::process::ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::Failed => 1,
            Ending::Unknown => 2,
        })
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// With words for standard error.
    Refused(String),
    /// With words for standard error; it was used wrongly.
    Usage(String),
    /// The reader of the output went away, and has seen what it wanted.
    Unread,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Unread;
        }
        Self::Refused(format!("the output cannot be written: {error}"))
    }
}

/// Runs a command. `program` is what completions are for, `check` is what `validate` asks.
pub fn run(command: &Command, program: &mut clap::Command, check: &Check, terminal: &mut Terminal<'_>) -> Ending {
    let ended = match command {
        Command::Apply(apply) => apply.run(terminal),
        Command::Get(get) => get.run(terminal),
        Command::Delete(delete) => delete.run(terminal),
        Command::Diff(diff) => diff.run(terminal),
        Command::History(history) => history.run(terminal),
        Command::Rollback(rollback) => rollback.run(terminal),
        Command::Proxies(proxies) => proxies.run(terminal),
        Command::Token(token) => token.run(terminal),
        Command::Ca(ca) => ca.run(terminal),
        Command::Loads(loads) => loads.run(terminal),
        Command::Validate(validate) => validate.run(check, terminal),
        Command::Completions(Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, program, "ninon", &mut text);
            terminal.out.write_all(&text).map(|()| Ending::Done).map_err(Stop::from)
        }
    };
    let (words, ending) = match ended.and_then(|ending| terminal.out.flush().map(|()| ending).map_err(Stop::from)) {
        Ok(ending) => return ending,
        Err(Stop::Unread) => return Ending::Done,
        Err(Stop::Refused(words)) if matches!(command, Command::Diff(_)) => (words, Ending::Unknown),
        Err(Stop::Refused(words)) => (words, Ending::Failed),
        Err(Stop::Usage(words)) => (words, Ending::Unknown),
    };
    // There is nowhere else to say it.
    let _unheard = writeln!(terminal.err, "error: {words}").is_err();
    ending
}

#[cfg(test)]
mod tests;
