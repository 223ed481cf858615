//! `ninon`: the control plane and the operator's commands: arguments, and exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use ninon_control_plane::app;
use ninon_control_plane::cli::{self, Terminal};
use ninon_control_plane::settings::Serve;
use ninon_control_plane::source::manifest;

/// What the program was asked to do.
#[derive(Debug, Parser)]
#[command(name = "ninon", version, about = "Ninon's control plane and operator commands", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve configuration to proxies over xDS, and the API to operators, until SIGTERM
    Serve(Box<Serve>),
    #[command(flatten)]
    Operator(cli::Command),
}

fn main() -> ExitCode {
    // `--help`, `--version` or wrong usage are answered by the parser.
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(answer) => answer.exit(),
    };
    match arguments.command {
        Command::Serve(settings) => match app::serve(&settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // There is nowhere else to say it.
                let _unheard = writeln!(std::io::stderr(), "ninon: {error}").is_err();
                ExitCode::FAILURE
            }
        },
        Command::Operator(command) => {
            let mut terminal = Terminal { input: &mut std::io::stdin(), out: &mut std::io::stdout(), err: &mut std::io::stderr() };
            cli::run(&command, &mut Arguments::command(), &|value| manifest::read(value).map(drop), &mut terminal).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn answer(words: &[&str]) -> clap::Error {
        Arguments::try_parse_from(["ninon"].iter().chain(words)).unwrap_err()
    }

    #[test]
    fn the_arguments_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_version_is_the_packages() {
        let version = answer(&["--version"]);
        assert_eq!(version.to_string(), format!("ninon {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn without_words_it_helps_and_ends_as_wrong_usage() {
        let help = answer(&[]);
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, 2));
    }

    #[test]
    fn a_command_that_does_not_exist_is_wrong_usage() {
        assert_eq!(answer(&["explode"]).exit_code(), 2);
    }
}
