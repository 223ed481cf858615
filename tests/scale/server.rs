//! `ninon serve` as a process of its own, and its API.

use std::fs;
use std::future::ready;
use std::process::Command;
use std::time::Duration;

use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, settings, wire};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::mesh::{Mesh, list};

/// A start with thousands of objects.
const READY: Duration = Duration::from_secs(30);
/// It has had nothing to do for so long.
const QUIET: Duration = Duration::from_secs(2);
/// Objects of one call: bodies may have 16 MiB.
const CALL: usize = 2500;

/// A control plane that has a mesh.
pub struct Server {
    process: Process,
    folder: Folder,
    /// Where it serves xDS.
    pub xds: u16,
    /// Where it gives certificates.
    pub secure: u16,
    pub api: u16,
}

impl Server {
    /// Services and workloads are files; endpoints come by the API.
    pub async fn start(mesh: &Mesh) -> Result<Self, String> {
        let folder = Folder::new();
        let config = folder.path().join("config");
        fs::create_dir(&config).map_err(|error| error.to_string())?;
        for (name, objects) in [("services.yaml", mesh.services()), ("workloads.yaml", mesh.workloads())] {
            fs::write(config.join(name), objects).map_err(|error| error.to_string())?;
        }
        let [xds, secure, api] = [ports::free(), ports::free(), ports::free()];
        let mut command = Command::new(settings::control_plane_binary());
        command.arg("serve").arg("--config-dir").arg(config).arg("--state-dir").arg(folder.path().join("data"));
        command.args(["--xds-address", &format!("127.0.0.1:{xds}"), "--api-address", &format!("127.0.0.1:{api}")]);
        command.args(["--secure-xds-address", &format!("127.0.0.1:{secure}")]);
        let process = Process::start(command, Folder::new())?;
        let server = Self { process, folder, xds, secure, api };
        server.wait_until_ready().await?;
        let slices = mesh.slices();
        let mut caller = server.caller().await?;
        for objects in slices["items"].as_array().into_iter().flatten().collect::<Vec<_>>().chunks(CALL) {
            caller.apply(list(objects.iter().map(|object| (*object).clone()))).await?;
        }
        // What was applied is in the mesh before the first sidecar comes.
        server.settled().await?;
        Ok(server)
    }

    async fn wait_until_ready(&self) -> Result<(), String> {
        let api = self.api;
        let is_ready = async || wire::get(api, "/readyz").await.is_ok_and(|(status, _)| status == 200).then_some(());
        if eventually(READY, is_ready).await.is_some() {
            return Ok(());
        }
        Err(format!("ninon serve is not ready; it wrote:\n{}", self.process.log()))
    }

    /// A connection to the API.
    pub async fn caller(&self) -> Result<Caller, String> {
        Caller::connect(self.api, &self.token()?).await
    }

    /// One of the operator's commands, and what it prints.
    pub fn ninon(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new(settings::control_plane_binary());
        command.args(words).env("NINON_SERVER", format!("http://127.0.0.1:{}", self.api));
        command.env("NINON_TOKEN_FILE", self.folder.path().join("data/admin-token"));
        let output = command.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// What the API asks for.
    pub fn token(&self) -> Result<String, String> {
        let token = fs::read_to_string(self.folder.path().join("data/admin-token")).map_err(|error| error.to_string())?;
        Ok(token.trim().to_owned())
    }

    /// Waits until it has nothing to do: what was under way is over, and memory that it took is given back.
    pub async fn settled(&self) -> Result<(), String> {
        let mut known = (f64::NAN, f64::NAN, Instant::now());
        let is_settled = || {
            let (cpu, memory) = (self.cpu(), self.memory());
            let is_same = cpu - known.0 <= 0.02 && memory == known.1;
            if !is_same {
                known = (cpu, memory, Instant::now());
            }
            ready((is_same && known.2.elapsed() > QUIET).then_some(()))
        };
        eventually(READY, is_settled).await.ok_or_else(|| "ninon serve does not come to rest".to_owned())
    }

    /// Resident memory, in MiB.
    pub fn memory(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most that it ever was.
    pub fn peak(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
        kibibytes.map_or(f64::NAN, |kibibytes| kibibytes / 1024.0)
    }

    /// Seconds of all its threads, also of those that have ended.
    pub fn cpu(&self) -> f64 {
        /// `USER_HZ`.
        const TICKS: f64 = 100.0;
        let text = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        // User and system are the 14th and 15th; two stand before the `)`.
        let ticks = |at: usize| fields.get(at - 3).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
        (ticks(14) + ticks(15)) / TICKS
    }
}

/// A keep-alive connection to the API.
pub struct Caller {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

impl Caller {
    pub async fn connect(port: u16, token: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
        Ok(Self { stream, token: token.to_owned(), buffer: Vec::new() })
    }

    /// Applies objects in one call, which is answered when they are on disk.
    pub async fn apply(&mut self, objects: Value) -> Result<(), String> {
        let body = objects.to_string();
        let head = format!(
            "POST /api/v1/apply HTTP/1.1\r\nhost: api\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        let (status, text) =
            self.exchange(&[head.as_bytes(), body.as_bytes()].concat()).await.map_err(|error| format!("the API: {error}"))?;
        if status == 200 { Ok(()) } else { Err(format!("the API said {status}: {text}")) }
    }

    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<(u16, String)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&self.buffer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
            if body.len() >= length {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
                return Ok((status, body.to_owned()));
            }
        }
    }
}
