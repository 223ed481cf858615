//! `ninon-proxy`: arguments, logging, exit code.

use std::io::Write as _;
use std::process::ExitCode;

use ninon_proxy::app::{self, Options};
use ninon_proxy::redirect;
use ninon_proxy::settings::{Arguments, Command, Settings, warned};
use ninon_proxy::telemetry::logging::{self, LogStyle};

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match arguments.command {
        Command::Run(settings) => run(&settings),
        Command::Validate(validate) => {
            let (report, good) = validate.report();
            print(&report);
            if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Command::Redirect(settings) => match redirect::run(&settings) {
            Ok(report) => {
                print(&report);
                ExitCode::SUCCESS
            }
            Err(error) => refuse(&error.to_string()),
        },
    }
}

fn run(settings: &Settings) -> ExitCode {
    let log = match logging::init(LogStyle::Text, settings.log_level.as_str()) {
        Ok(log) => log,
        Err(error) => return refuse(&error.to_string()),
    };
    let loaded = match settings.load() {
        Ok(loaded) => loaded,
        Err(faults) => {
            let refused = refuse(&faults.to_string());
            say(&warned(faults.warnings()));
            return refused;
        }
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let options = Options {
        config: settings.config.clone(),
        workers: settings.workers.get(),
        drain_time: settings.drain_time,
        health_address: settings.health_address,
        state_dir: settings.state_dir.clone(),
        dns: settings.dns.service(),
        log,
        warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
    };
    match app::run(loaded.bootstrap, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&error.to_string()),
    }
}

fn print(text: &str) {
    // A reader that went away early (`| head`) has seen what it wanted.
    let _unread = std::io::stdout().write_all(text.as_bytes()).is_err();
}

fn refuse(problem: &str) -> ExitCode {
    say(&format!("ninon-proxy: {problem}\n"));
    ExitCode::FAILURE
}

#[expect(clippy::print_stderr, reason = "what the command was asked to tell")]
fn say(text: &str) {
    eprint!("{text}");
}
