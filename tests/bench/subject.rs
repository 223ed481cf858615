//! The proxies under test and the server behind them: each one process with one worker.

use ninon_tests::process::{Folder, Process};
use ninon_tests::{envoy, ports, settings};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// What `/` answers with.
const PAYLOAD_BYTES: usize = 1024;

/// The size of `/large`.
pub const LARGE_BYTES: u64 = 256 * 1024 * 1024;

/// How long a start may take.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A proxy that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Envoy,
    Haproxy,
    Nginx,
    Ninon,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Envoy, Self::Haproxy, Self::Nginx, Self::Ninon];

    pub fn name(self) -> &'static str {
        match self {
            Self::Envoy => "Envoy",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
            Self::Ninon => "ninon-proxy",
        }
    }

    /// nginx does so only with a module that is packaged apart.
    pub fn passes_tcp(self) -> bool {
        self != Self::Nginx
    }

    fn config(self) -> &'static str {
        match self {
            Self::Envoy | Self::Ninon => include_str!("configs/bootstrap.yaml"),
            Self::Haproxy => include_str!("configs/haproxy.cfg"),
            Self::Nginx => include_str!("configs/nginx.conf"),
        }
    }

    fn command(self, file: &str) -> Command {
        match self {
            Self::Envoy => with(envoy::binary(), &["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]),
            Self::Haproxy => with("haproxy", &["-db", "-f", file]),
            Self::Nginx => with("nginx", &["-c", file]),
            Self::Ninon => with(settings::ninon_binary(), &["run", "-c", file, "--workers", "1"]),
        }
    }
}

fn with(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A proxy that serves.
pub struct Subject {
    pub kind: Kind,
    /// HTTP/1.1, and HTTP/2 where one port takes both.
    pub http: u16,
    /// HTTP/2.
    pub http2: u16,
    pub tcp: u16,
    /// From before the process was made until its first answer from the backend.
    pub ready_after: Duration,
    process: Process,
}

impl Subject {
    pub fn start(kind: Kind, backend: u16) -> Result<Self, String> {
        let http = ports::free();
        let http2 = if matches!(kind, Kind::Envoy | Kind::Ninon) { http } else { ports::free() };
        let tcp = ports::free();
        let places = [("http2", http2), ("http", http), ("tcp", tcp), ("admin", ports::free()), ("backend", backend)];
        let (process, began) = start(kind.config(), &places, |file| kind.command(file))?;
        let mut subject = Self { kind, http, http2, tcp, ready_after: Duration::ZERO, process };
        wait_until_ready(&mut subject.process, http, began).map_err(|problem| format!("{}: {problem}", kind.name()))?;
        subject.ready_after = began.elapsed();
        Ok(subject)
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// nginx, the server behind all of them.
pub struct Backend {
    pub port: u16,
    _process: Process,
}

impl Backend {
    pub fn start() -> Result<Self, String> {
        let port = ports::free();
        let (mut process, began) = start(include_str!("configs/backend.conf"), &[("backend", port)], |file| with("nginx", &["-c", file]))?;
        wait_until_ready(&mut process, port, began)?;
        Ok(Self { port, _process: process })
    }
}

/// Writes the configuration into a folder of its own and starts the process there.
fn start(config: &str, places: &[(&str, u16)], command: impl Fn(&str) -> Command) -> Result<(Process, Instant), String> {
    let folder = Folder::new();
    let mut text = config.replace("{{folder}}", &folder.path().display().to_string());
    text = text.replace("{{payload}}", &"x".repeat(PAYLOAD_BYTES));
    for (name, port) in places {
        text = text.replace(&format!("{{{{{name}}}}}"), &port.to_string());
    }
    let file = folder.path().join("config.yaml");
    fs::write(&file, text).map_err(|e| format!("writing a configuration: {e}"))?;
    // A hole: no disk is read.
    let large = File::create(folder.path().join("large")).and_then(|file| file.set_len(LARGE_BYTES));
    large.map_err(|e| format!("making the large file: {e}"))?;
    let command = command(&file.display().to_string());
    let began = Instant::now();
    Ok((Process::start(command, folder)?, began))
}

fn wait_until_ready(process: &mut Process, port: u16, began: Instant) -> Result<(), String> {
    while began.elapsed() < START_LIMIT {
        if answers(port) {
            return Ok(());
        }
        if !process.is_running() {
            return Err(format!("it ended at once; it wrote:\n{}", process.log()));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Err(format!("it was not ready in time; it wrote:\n{}", process.log()))
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut status = [0; 12];
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    asked.and_then(|()| stream.read_exact(&mut status)).is_ok() && status.ends_with(b"200")
}
