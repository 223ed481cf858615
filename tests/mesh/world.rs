use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use ninon_tests::control_plane::Dialect;
use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{envoy, named, ports, settings, sidecar};
use serde_json::{Value, json};

/// Far more than anything takes on a crowded machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A control plane, its files and its commands.
pub struct World {
    folder: Folder,
    control_plane: Option<Process>,
    flags: Vec<String>,
    pub xds: u16,
    pub secure_xds: u16,
    api: u16,
    /// `--store`.
    store: String,
}

/// The key file of all control planes of this process that share a store.
fn ca_key() -> &'static Path {
    static KEY: LazyLock<(Folder, PathBuf)> = LazyLock::new(|| {
        let folder = Folder::new();
        let path = folder.path().join("ca.key");
        fs::write(&path, "5a".repeat(32)).unwrap();
        (folder, path)
    });
    &KEY.1
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these flags of `ninon serve`, too.
    pub async fn start_with(flags: &[&str]) -> Self {
        Self::start_at_store("embedded", flags).await
    }

    /// Likewise, with objects at a place.
    pub async fn start_at_store(store: &str, flags: &[&str]) -> Self {
        let mut world = Self::new(store);
        world.flags = flags.iter().map(ToString::to_string).collect();
        world.serve().await;
        world
    }

    /// Other flags of `ninon serve`, from its next start on.
    pub fn flags(&mut self, flags: &[String]) {
        self.flags = flags.to_vec();
    }

    /// With objects in some place; nothing runs yet.
    pub fn new(store: &str) -> Self {
        let folder = Folder::new();
        fs::create_dir(folder.path().join("config")).unwrap();
        let [xds, secure_xds, api] = [ports::free(), ports::free(), ports::free()];
        Self { folder, control_plane: None, flags: Vec::new(), xds, secure_xds, api, store: store.to_owned() }
    }

    /// Starts the control plane.
    pub async fn serve(&mut self) {
        self.launch();
        let ready = || async { get(self.api, "/readyz", "api").await.filter(|(status, _)| *status == 200) };
        if eventually(LIMIT, ready).await.is_none() {
            panic!("it does not serve: {}", self.log());
        }
    }

    /// Starts one that cannot serve; how it ended, and what it wrote.
    pub async fn serve_in_vain(&mut self) -> (Option<ExitStatus>, String) {
        self.launch();
        let mut process = self.control_plane.take().unwrap();
        (process.ended(LIMIT).await, process.log())
    }

    fn launch(&mut self) {
        let mut command = Command::new(settings::control_plane_binary());
        command
            .arg("serve")
            .arg("--config-dir")
            .arg(self.folder.path().join("config"))
            .arg("--state-dir")
            .arg(self.folder.path().join("data"));
        command.args(["--xds-address", &format!("127.0.0.1:{}", self.xds), "--api-address", &format!("127.0.0.1:{}", self.api)]);
        command.args(["--secure-xds-address", &format!("127.0.0.1:{}", self.secure_xds)]);
        if self.store != "embedded" && !self.flags.iter().any(|flag| flag == "--ca-certificate") {
            // All that share a store need the same.
            command.arg("--ca-key-file").arg(ca_key());
        }
        command.args(&self.flags);
        command.args(["--load-interval", "500ms", "--store", &self.store]);
        self.control_plane = Some(Process::start(command, Folder::new()).unwrap());
    }

    /// Ends it without a word (SIGKILL).
    pub fn kill(&mut self) {
        self.control_plane = None;
    }

    /// Asks it to end (SIGTERM); how it ended, and what it wrote.
    pub async fn end(&mut self, limit: Duration) -> (Option<ExitStatus>, String) {
        let mut process = self.control_plane.take().unwrap();
        let id = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        (process.ended(limit).await, process.log())
    }

    pub fn log(&self) -> String {
        self.control_plane.as_ref().map(Process::log).unwrap_or_default()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the watched folder, as a whole.
    pub fn write(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.folder.path().join("config").join(name)).unwrap();
    }

    /// One of the operator's commands.
    pub fn ninon(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(settings::control_plane_binary());
        command.args(words).env("NINON_SERVER", format!("http://127.0.0.1:{}", self.api));
        command.env("NINON_TOKEN_FILE", self.folder.path().join("data/admin-token")).current_dir(self.folder.path());
        command
    }

    /// One that goes on: its lines as they come.
    pub fn watch(&self, words: &[&str]) -> Watching {
        let mut child = self.command(words).stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (say, lines) = mpsc::channel();
        let reader = thread::spawn(move || BufReader::new(output).lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
        Watching { child, lines, reader: Some(reader) }
    }

    /// One that has to work; what it prints.
    pub fn does(&self, words: &[&str]) -> String {
        let output = self.ninon(words);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Applies objects.
    pub fn apply(&self, text: &str) -> String {
        fs::write(self.path("apply.yaml"), text).unwrap();
        self.does(&["apply", "-f", "apply.yaml"])
    }

    /// Connected proxies as the API shows them.
    pub fn proxies(&self) -> Vec<Value> {
        let shown: Value = serde_json::from_str(&self.does(&["proxies", "-o", "json"])).unwrap();
        shown["items"].as_array().unwrap().clone()
    }

    /// The value of a metric, over all its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let token = fs::read_to_string(self.path("data/admin-token")).unwrap();
        let headers = format!("host: api\r\nauthorization: Bearer {}\r\n", token.trim());
        let (status, text) = named::get(self.api, "/metrics", &headers, LIMIT).await.unwrap();
        assert_eq!(status, 200, "{text}");
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} ")));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    }

    /// Nobody has refused anything.
    pub async fn is_accepted_by_all(&self) {
        let refused: Vec<_> = self.proxies().into_iter().filter(|proxy| proxy.to_string().contains("\"reason\"")).collect();
        assert_eq!((self.metric("ninon_xds_nacks_total").await, refused), (0.0, vec![]));
    }

    /// Waits until so many proxies have taken everything.
    pub async fn are_synced(&self, count: usize) {
        let look = || async {
            let proxies = self.proxies();
            let synced = proxies.len() == count && proxies.iter().all(|proxy| proxy["synced"] == json!(true));
            synced.then_some(())
        };
        if eventually(LIMIT, look).await.is_none() {
            panic!("they are not synced: {:#?}\n{}", self.proxies(), self.log());
        }
    }
}

/// A command that goes on; ended on drop.
pub struct Watching {
    child: Child,
    lines: mpsc::Receiver<String>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Watching {
    pub fn next(&mut self) -> String {
        self.lines.recv_timeout(LIMIT).expect("there is one more line")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.reader.take().map(thread::JoinHandle::join);
    }
}

/// Which data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Envoy,
    Ninon,
}

/// A data plane beside a workload.
pub struct Sidecar {
    _process: Process,
    admin: u16,
}

impl Sidecar {
    /// Beside a workload of the namespace `shop`.
    pub async fn start(world: &World, program: Program, dialect: Dialect, workload: &str) -> Self {
        Self::start_at(world.xds, program, dialect, workload).await
    }

    /// That follows a server on a port.
    pub async fn start_at(server: u16, program: Program, dialect: Dialect, workload: &str) -> Self {
        let admin = ports::free();
        Self::run(program, &bootstrap(&[server], dialect, workload, admin), admin).await
    }

    /// Envoy, which reports the load that it puts on others.
    pub async fn reporting(world: &World, workload: &str) -> Self {
        let admin = ports::free();
        let mut bootstrap = bootstrap(&[world.xds], Dialect::Delta, workload, admin);
        bootstrap["cluster_manager"]["load_stats_config"] = json!({
            "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{ "envoy_grpc": { "cluster_name": "ads" } }],
        });
        Self::run(Program::Envoy, &bootstrap, admin).await
    }

    async fn run(program: Program, bootstrap: &Value, admin: u16) -> Self {
        let folder = Folder::new();
        let path = folder.path().join("bootstrap.json");
        fs::write(&path, bootstrap.to_string()).unwrap();
        let command = match program {
            Program::Envoy => envoy::command(&path),
            Program::Ninon => ninon_tests::proxy::command(&path),
        };
        let mut process = Process::start(command, folder).unwrap();
        process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{program:?}: {problem}"));
        Self { _process: process, admin }
    }

    /// That may follow each of several servers.
    pub async fn of_any(servers: &[u16], program: Program, workload: &str) -> Self {
        let admin = ports::free();
        Self::run(program, &bootstrap(servers, Dialect::Delta, workload, admin), admin).await
    }

    /// The sum of its counters with such an end.
    pub async fn counter(&self, end: &str) -> u64 {
        let (_, stats) = get(self.admin, "/stats", "admin").await.unwrap();
        sidecar::sum(&stats, end)
    }
}

/// What a data plane is started with.
pub fn bootstrap(servers: &[u16], dialect: Dialect, workload: &str, admin: u16) -> Value {
    let node = json!({ "id": workload, "cluster": "tests", "metadata": { "NAMESPACE": "shop", "WORKLOAD_NAME": workload } });
    sidecar::bootstrap(servers, dialect, &node, admin)
}

/// One request; status and body, or nothing if there was no answer.
pub async fn get(port: u16, path: &str, host: &str) -> Option<(u16, String)> {
    named::get(port, path, &format!("host: {host}\r\n"), LIMIT).await
}

/// Waits for an answer.
pub async fn until(port: u16, path: &str, host: &str, wanted: (u16, &str)) {
    let look = || async { get(port, path, host).await.filter(|(status, body)| (*status, body.as_str()) == wanted) };
    if eventually(LIMIT, look).await.is_none() {
        panic!("{host}{path} is to give {wanted:?}, and gives {:?}", get(port, path, host).await);
    }
}
