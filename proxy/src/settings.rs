//! Flags, environment and bootstrap file to `Settings`. The only module that reads the environment.
//!
//! Every setting is a flag with an environment variable, and `--help` shows both with default and unit. Names follow Envoy's
//! flags where there is one, so that a start script for Envoy needs few changes.

/// Flags of the proxy's DNS.
pub mod dns;
/// The bootstrap file.
pub mod file;
/// Flags of a proxy that joins a mesh.
pub mod join;
/// Flags in its place.
pub mod mesh;
/// Flags of the packet redirection.
pub mod redirect;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::config::identity::Enrolment;
use crate::xds::bootstrap;
use crate::xds::invalid::{Faults, Invalid};

use dns::Dns;
pub use file::{Loaded, load, load_file};
use join::{Join, Socket};
use mesh::Mesh;
pub use redirect::Redirect;

/// More workers than this are had by asking: a sidecar shares its machine with the workload.
const MOST_DEFAULT_WORKERS: usize = 2;
/// More threads than any machine's CPUs is a slip of the keyboard.
const MOST_WORKERS: usize = 1024;

/// What the program was asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "ninon-proxy",
    version,
    about = "Ninon's sidecar proxy: starts from an Envoy v3 bootstrap file, or follows a control plane"
)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve what the bootstrap file or the control plane says, until SIGTERM
    Run(Box<Settings>),
    /// Check a bootstrap file and tell every fault with its path; exit code 0 if there is none, else 1
    Validate(Validate),
    /// Make nftables rules that send this machine's (or pod's) TCP connections through the proxy, check them, or remove them; needs nft
    /// and CAP_NET_ADMIN
    Redirect(Box<Redirect>),
}

/// Settings of `run`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Envoy v3 bootstrap file, YAML or JSON
    #[arg(short, long, alias = "config-path", value_name = "FILE", env = "NINON_CONFIG", required_unless_present = "control_plane")]
    #[arg(conflicts_with = "control_plane")]
    pub config: Option<PathBuf>,
    /// What takes its place.
    #[command(flatten)]
    pub mesh: Mesh,
    /// How it joins a mesh, instead.
    #[command(flatten)]
    pub join: Join,
    /// Questions for names.
    #[command(flatten)]
    pub dns: Dns,
    /// Threads that carry traffic, 1 to 1024 [default: one for each CPU that the process may use, at most 2]
    #[arg(long, alias = "concurrency", value_name = "N", env = "NINON_WORKERS", default_value_t = default_workers(), hide_default_value = true, value_parser = workers)]
    pub workers: NonZeroUsize,
    /// Folder where the last good configuration of a control plane is kept, private keys among it, for a start while the
    /// control plane is away [default: nowhere]
    #[arg(long, value_name = "DIR", env = "NINON_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Refuse every field that Ninon does not have, rather than warn where it decides nothing about access
    #[arg(long, env = "NINON_STRICT_XDS")]
    pub strict_xds: bool,
    /// How much Ninon tells of itself on standard error
    #[arg(short, long, value_name = "LEVEL", env = "NINON_LOG_LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// Seconds that connections are given to end after SIGTERM; a second signal ends at once. A supervisor that kills
    /// earlier (Kubernetes: terminationGracePeriodSeconds, 30) needs a lower value here
    #[arg(long, alias = "drain-time-s", value_name = "SECONDS", env = "NINON_DRAIN_TIME", default_value = "600", value_parser = seconds)]
    pub drain_time: Duration,
    /// Address and port where anybody may see /ready, /healthz and metrics, and nothing else [default: nowhere]
    #[arg(long, value_name = "ADDRESS", env = "NINON_HEALTH_ADDRESS")]
    pub health_address: Option<SocketAddr>,
}

/// Settings of `validate`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Validate {
    /// Envoy v3 bootstrap file, YAML or JSON
    #[arg(short, long, alias = "config-path", value_name = "FILE", env = "NINON_CONFIG")]
    pub config: PathBuf,
    /// Refuse every field that Ninon does not have, rather than warn where it decides nothing about access
    #[arg(long, env = "NINON_STRICT_XDS")]
    pub strict_xds: bool,
    /// The file is for a proxy that gets its identity from SPIFFE's Workload API, and refers to its secrets; it is not asked
    #[arg(long, value_name = "ADDRESS", env = "NINON_WORKLOAD_API_ADDRESS")]
    pub workload_api_address: Option<Socket>,
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What a developer needs.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What may need attention.
    #[value(alias = "warning")]
    Warn,
    /// What went wrong.
    #[value(alias = "critical")]
    Error,
    /// Nothing.
    Off,
}

impl LogLevel {
    /// The level as the subscriber's filter writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Off => "off",
        }
    }
}

impl Arguments {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// Wrong usage, or a call for help: the error's `exit` prints it and ends with the right code (2, or 0 for help).
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments = Self::try_parse_from(words)?;
        let wrong = match &arguments.command {
            Command::Redirect(redirect) => redirect.contradiction(),
            Command::Run(_) | Command::Validate(_) => None,
        };
        match wrong {
            Some(problem) => Err(Self::command().error(ErrorKind::ValueValidation, problem)),
            None => Ok(arguments),
        }
    }
}

/// Warnings as lines.
pub fn warned(warnings: &[Invalid]) -> String {
    warnings.iter().map(|warning| format!("warning: {warning}\n")).collect()
}

impl Settings {
    /// What the file, or the flags in its place, say.
    ///
    /// # Errors
    /// All faults.
    pub fn load(&self) -> Result<Loaded, Faults> {
        match &self.config {
            Some(path) => file::load_file_as(path, self.strict_xds, self.join.enrolment().map_err(Faults::one)?),
            None => {
                let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
                let json = self.mesh.bootstrap(&self.join, &machine).map_err(Faults::one)?;
                let enrolment = self.join.enrolment().map_err(Faults::one)?;
                let (bootstrap, warnings) = bootstrap::parse(&json, self.strict_xds, enrolment)?;
                Ok(Loaded { bootstrap, warnings })
            }
        }
    }
}

impl Validate {
    /// What to print, and whether the file is good.
    pub fn report(&self) -> (String, bool) {
        let file = self.config.display();
        let means = self.workload_api_address.clone().map(|socket| socket.means(None));
        match file::load_file_as(&self.config, self.strict_xds, means.map(Enrolment::new)) {
            Ok(loaded) => {
                let mut report = warned(&loaded.warnings);
                let (listeners, clusters) = (loaded.bootstrap.snapshot.listeners.len(), loaded.bootstrap.snapshot.clusters.len());
                report.push_str(&format!("{file}: good; listeners: {listeners}, clusters: {clusters}\n"));
                (report, true)
            }
            Err(faults) => {
                let count = faults.list().len();
                let noun = if count == 1 { "fault" } else { "faults" };
                (format!("{faults}\n{}{file}: refused; {count} {noun}\n", warned(faults.warnings())), false)
            }
        }
    }
}

fn default_workers() -> NonZeroUsize {
    let cpus = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let most = NonZeroUsize::new(MOST_DEFAULT_WORKERS).unwrap_or(NonZeroUsize::MIN);
    cpus.min(most)
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    let workers = text.parse::<usize>().ok().filter(|workers| *workers <= MOST_WORKERS).and_then(NonZeroUsize::new);
    workers.ok_or_else(|| format!("not a whole number from 1 to {MOST_WORKERS}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().map_err(|_| "not a whole number of seconds".to_owned())?;
    Ok(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests;
