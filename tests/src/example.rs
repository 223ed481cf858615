//! The examples as a user runs them: `examples/NAME/envoy.yaml` before real servers, tried with real clients.
//!
//! The file is used as it is but for its ports: each is replaced by one that nobody else has, so that tests run side by side.

use crate::eventually::eventually;
use crate::process::{Folder, Process};
use crate::{ports, proxy, settings};
use regex::{Captures, Regex};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;
use tokio::net::TcpStream;

/// What the examples' admin pages listen on.
const ADMIN: u16 = 15000;
/// An interpreter with its libraries starts in less than a second on an idle machine.
const SERVER_LIMIT: Duration = Duration::from_secs(20);
/// Log lines are written in batches.
const LOG_LIMIT: Duration = Duration::from_secs(15);

/// The folder of an example.
pub fn folder(name: &str) -> PathBuf {
    settings::repository().join("examples").join(name)
}

/// A running example; all its processes end with it.
pub struct Example {
    name: &'static str,
    text: String,
    ports: BTreeMap<u16, u16>,
    files: Vec<(&'static str, String)>,
    servers: Vec<Process>,
    proxy: Option<Process>,
}

impl Example {
    /// The example with ports of its own; nothing runs yet.
    pub fn new(name: &'static str) -> Self {
        let text = fs::read_to_string(folder(name).join("envoy.yaml")).expect("the example has a bootstrap file");
        let mut moved = BTreeMap::new();
        let pattern = Regex::new(r"(port_value|port_redirect): (\d+)").expect("a good pattern");
        let text = pattern.replace_all(&text, |found: &Captures<'_>| {
            let port = found[2].parse().expect("ports of the examples are ports");
            format!("{}: {}", &found[1], moved.entry(port).or_insert_with(ports::free))
        });
        Self { name, text: text.into_owned(), ports: moved, files: Vec::new(), servers: Vec::new(), proxy: None }
    }

    /// Where the port that stands in the file has gone.
    pub fn port(&self, written: u16) -> u16 {
        self.ports[&written]
    }

    /// `127.0.0.1` and the port.
    pub fn address(&self, written: u16) -> String {
        format!("127.0.0.1:{}", self.port(written))
    }

    /// Puts a file where the proxy will be started.
    pub fn file(mut self, name: &'static str, text: String) -> Self {
        self.files.push((name, text));
        self
    }

    /// Starts `examples/services.py`, each service by its name and the port that stands in the file.
    pub async fn services(self, services: &[(&str, u16)]) -> Self {
        let mut command = Command::new("python3");
        command.arg(folder("services.py"));
        command.args(services.iter().map(|(name, port)| format!("{name}:{}", self.port(*port))));
        let ports: Vec<u16> = services.iter().map(|(_, port)| *port).collect();
        self.server(command, &ports).await
    }

    /// Starts a script of the example on a port, with the libraries that `make test` installs.
    pub async fn script(self, name: &str, port: u16) -> Self {
        let mut command = Command::new(settings::clients_python());
        command.arg(folder(self.name).join(name)).arg(self.port(port).to_string());
        self.server(command, &[port]).await
    }

    async fn server(mut self, command: Command, ports: &[u16]) -> Self {
        let server = RefCell::new(Process::start(command, Folder::new()).expect("the server starts"));
        for port in ports {
            let address = self.address(*port);
            let up = eventually(SERVER_LIMIT, || async {
                assert!(server.borrow_mut().is_running(), "a server ended:\n{}", server.borrow().log());
                TcpStream::connect(&address).await.ok()
            });
            assert!(up.await.is_some(), "nothing listens on {address}:\n{}", server.borrow().log());
        }
        self.servers.push(server.into_inner());
        self
    }

    /// Starts the proxy in a folder of its own and waits until it is ready.
    pub async fn start(mut self) -> Self {
        let folder = Folder::new();
        let bootstrap = folder.path().join("envoy.yaml");
        fs::write(&bootstrap, &self.text).expect("the temporary folder is writable");
        for (name, text) in &self.files {
            fs::write(folder.path().join(name), text).expect("the temporary folder is writable");
        }
        let mut command = proxy::command(&bootstrap);
        command.current_dir(folder.path());
        let mut proxy = Process::start(command, folder).expect("ninon-proxy starts");
        if let Err(problem) = proxy.wait_until_ready(self.port(ADMIN)).await {
            panic!("{}: {problem}", self.name);
        }
        self.proxy = Some(proxy);
        self
    }

    /// `curl` with a path at the listener, or a whole URL, and options.
    pub fn curl(&self, words: &[&str]) -> Answer {
        let (place, options) = words.split_first().expect("something to ask for");
        let url = if place.starts_with('/') { format!("http://{}{place}", self.address(8080)) } else { (*place).to_owned() };
        Answer::of(&curl(&url, options))
    }

    /// A script of the example as a client.
    pub fn client(&self, name: &str, words: &[&str]) -> Output {
        let mut command = Command::new(settings::clients_python());
        let output = command.arg(folder(self.name).join(name)).args(words).output();
        output.expect("the client starts")
    }

    /// A line of the proxy's output with all the words in it.
    pub async fn log_line(&self, words: &[&str]) -> String {
        let log = || self.proxy.as_ref().map(Process::log).unwrap_or_default();
        let line = eventually(LOG_LIMIT, || async {
            let log = log();
            log.lines().find(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned)
        });
        line.await.unwrap_or_else(|| panic!("no line has {words:?}:\n{}", log()))
    }

    /// A page of the admin address.
    pub fn admin(&self, path: &str) -> Answer {
        Answer::of(&curl(&format!("http://{}{path}", self.address(ADMIN)), &[]))
    }
}

fn curl(url: &str, options: &[&str]) -> String {
    let output = Command::new("curl").args(["-s", "-S", "-i", "-m", "10"]).arg(url).args(options).output().expect("curl is installed");
    assert!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
}

/// What curl printed of one answer.
#[derive(Debug)]
pub struct Answer {
    /// Status line and headers.
    pub head: String,
    /// The rest.
    pub body: String,
}

impl Answer {
    fn of(printed: &str) -> Self {
        let (head, body) = printed.split_once("\n\n").unwrap_or((printed, ""));
        Self { head: head.to_owned(), body: body.to_owned() }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        let code = self.head.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status in {self:?}"))
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// What a service of `services.py` was asked.
    pub fn seen(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}
