//! `ninon`: the control plane and the operator's commands. It has no command yet, and its help says so.

use std::process::ExitCode;

use clap::Parser;

/// Shown below the help until the commands are there.
const STATE: &str = "\
There are no commands yet. This program will serve configuration to proxies over xDS (`ninon serve`) and be the operator's
client of it (`apply`, `get`, `explain`, ...). Until then, start the proxy with an Envoy v3 bootstrap file:

    ninon-proxy run -c bootstrap.yaml";

/// What the program was asked to do.
#[derive(Debug, Parser)]
#[command(name = "ninon", version, about = "Ninon's control plane and operator commands", after_help = STATE, arg_required_else_help = true)]
struct Arguments {}

fn main() -> ExitCode {
    // `--help`, `--version` or wrong usage: there is nothing else to ask for.
    match Arguments::try_parse() {
        Ok(Arguments {}) => ExitCode::SUCCESS,
        Err(answer) => answer.exit(),
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
    fn help_says_what_is_there_and_what_is_not() {
        let help = answer(&["--help"]);
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
        assert!(help.to_string().contains("There are no commands yet."), "{help}");
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
        assert_eq!(answer(&["serve"]).exit_code(), 2);
    }
}
