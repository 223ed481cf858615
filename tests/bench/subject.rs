//! The proxies under test and the server behind them: each process has one worker.

use crate::identity::Identity;
use crate::measure::Measure;
use crate::usage::{self, Memory};
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

/// What stands between client and backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// One proxy, plain text on both sides.
    Plain,
    /// Two, as beside a client and a server of a mesh, with mutual TLS between them.
    Mutual,
}

impl Setting {
    /// nginx passes nothing on by mutual TLS with reused connections.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Plain => &[Kind::Envoy, Kind::Haproxy, Kind::Nginx, Kind::Ninon],
            Self::Mutual => &[Kind::Envoy, Kind::Haproxy, Kind::Ninon],
        }
    }

    /// Those that put a load on one after the other.
    pub fn loads(self) -> &'static [Measure] {
        match self {
            Self::Plain => &[Measure::Saturated, Measure::Paced, Measure::Http2, Measure::Tcp, Measure::NewConnection],
            Self::Mutual => &[Measure::Saturated, Measure::Upgraded, Measure::Paced, Measure::Http2, Measure::Tcp, Measure::Handshake],
        }
    }

    /// Of each process, the one nearest to the backend first.
    fn configs(self, kind: Kind) -> &'static [&'static str] {
        match (self, kind) {
            (_, Kind::Nginx) => &[include_str!("configs/nginx.conf")],
            (Self::Plain, Kind::Envoy | Kind::Ninon) => &[include_str!("configs/plain.yaml")],
            (Self::Plain, Kind::Haproxy) => &[include_str!("configs/haproxy-plain.cfg")],
            (Self::Mutual, Kind::Envoy | Kind::Ninon) => &[include_str!("configs/server.yaml"), include_str!("configs/client.yaml")],
            (Self::Mutual, Kind::Haproxy) => &[include_str!("configs/haproxy-server.cfg"), include_str!("configs/haproxy-client.cfg")],
        }
    }
}

/// A proxy that serves, or two.
pub struct Subject {
    pub kind: Kind,
    /// HTTP/1.1, and HTTP/2 where one port takes both.
    pub http: u16,
    /// HTTP/2.
    pub http2: u16,
    /// HTTP/1.1 that goes by HTTP/2 between two proxies.
    pub upgraded: u16,
    pub tcp: u16,
    /// From before the process was made until its first answer from the backend.
    pub ready_after: Duration,
    processes: Vec<Process>,
}

impl Subject {
    pub fn start(kind: Kind, setting: Setting, backend: u16, identity: &Identity) -> Result<Self, String> {
        let http = ports::free();
        let http2 = if matches!(kind, Kind::Envoy | Kind::Ninon) { http } else { ports::free() };
        let [tcp, upgraded, server_http, server_tcp] = [ports::free(), ports::free(), ports::free(), ports::free()];
        let ports = [("http2", http2), ("http", http), ("upgraded", upgraded), ("tcp", tcp), ("backend", backend)];
        let mut places: Vec<_> = ports.into_iter().map(|(name, port)| (name, port.to_string())).collect();
        places.extend([("server_http", server_http.to_string()), ("server_tcp", server_tcp.to_string())]);
        places.extend(identity.places());
        // The others take the same without being told, or cannot.
        let curves = if kind == Kind::Envoy { ", ecdh_curves: [X25519MLKEM768]" } else { "" };
        places.push(("curves", curves.to_owned()));
        let mut subject = Self { kind, http, http2, upgraded, tcp, ready_after: Duration::ZERO, processes: Vec::new() };
        let mut last = Instant::now();
        for config in setting.configs(kind) {
            places.push(("admin", ports::free().to_string()));
            let (process, began) = start(config, &places, |file| kind.command(file))?;
            places.pop();
            subject.processes.push(process);
            last = began;
        }
        let ready = wait_until_ready(&mut subject.processes, http, last);
        ready.map_err(|problem| format!("{}: {problem}", kind.name()))?;
        subject.ready_after = last.elapsed();
        Ok(subject)
    }

    /// Of all its processes.
    pub fn cpu(&self) -> Duration {
        self.processes.iter().map(|process| usage::cpu(process.id())).sum()
    }

    /// Of the process that has most.
    pub fn memory(&self) -> Memory {
        let all = self.processes.iter().map(|process| usage::memory(process.id()));
        all.max_by(|one, other| one.resident.total_cmp(&other.resident)).expect("a subject has a process")
    }
}

/// nginx, the server behind all of them.
pub struct Backend {
    pub port: u16,
    _process: [Process; 1],
}

impl Backend {
    pub fn start() -> Result<Self, String> {
        let port = ports::free();
        let places = [("backend", port.to_string())];
        let (process, began) = start(include_str!("configs/backend.conf"), &places, |file| with("nginx", &["-c", file]))?;
        let mut process = [process];
        wait_until_ready(&mut process, port, began)?;
        Ok(Self { port, _process: process })
    }
}

/// Writes the configuration into a folder of its own and starts the process there.
fn start(config: &str, places: &[(&str, String)], command: impl Fn(&str) -> Command) -> Result<(Process, Instant), String> {
    let folder = Folder::new();
    let mut text = config.replace("{{folder}}", &folder.path().display().to_string());
    text = text.replace("{{payload}}", &"x".repeat(PAYLOAD_BYTES));
    for (name, value) in places {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
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

fn wait_until_ready(processes: &mut [Process], port: u16, began: Instant) -> Result<(), String> {
    while began.elapsed() < START_LIMIT {
        if answers(port) {
            return Ok(());
        }
        if let Some(process) = processes.iter_mut().find_map(|process| (!process.is_running()).then_some(process)) {
            return Err(format!("it ended at once; it wrote:\n{}", process.log()));
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    let logs: String = processes.iter().map(|process| process.log()).collect();
    Err(format!("it was not ready in time; it wrote:\n{logs}"))
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut status = [0; 12];
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    asked.and_then(|()| stream.read_exact(&mut status)).is_ok() && status.ends_with(b"200")
}
