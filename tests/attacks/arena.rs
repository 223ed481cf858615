use crate::raw::LONG;
use crate::servers::{self, Handler, Seen, Server};
use crate::victim::Victim;
use ninon_tests::bootstrap::{self, Places};
use ninon_tests::case::Case;
use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, proxy, settings, wire};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// One arena at a time: a victim beside another test's attack would prove nothing.
static TURN: Mutex<()> = Mutex::new(());
/// The whole of one test.
const LIMIT: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_millis(60);
const ATTACK: Duration = Duration::from_millis(120);
/// An attack is begun again no sooner than this: what is measured is what it does, not how fast an attacker connects.
const PAUSE: Duration = Duration::from_millis(15);
/// A share below the bound counts when the median of as many is, measured for so long: other work on the machine ends, a proxy that is
/// kept from its work stays so.
const MEDIAN_OF: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);
/// Descriptors that come and go for other reasons: the victim's, the admin page's.
const STRAY: usize = 4;

/// What a test wants of its proxy.
#[derive(Default)]
pub(crate) struct Setup {
    /// As in the differential suite's cases; the listener under attack is `main`.
    pub(crate) config: &'static str,
    /// A second server, behind `/hostile`.
    pub(crate) hostile: Option<Handler>,
    /// It speaks HTTP/2.
    pub(crate) hostile_http2: bool,
    /// More places to fill in.
    pub(crate) places: Places,
}

/// A listener with an HTTP connection manager and nothing said about it.
pub(crate) fn http() -> Setup {
    configured("{}")
}

/// The same with a configuration.
pub(crate) fn configured(config: &'static str) -> Setup {
    Setup { config, ..Setup::default() }
}

/// With a hostile HTTP/1 server behind `/hostile`.
pub(crate) fn hostile(config: &'static str, handler: Handler) -> Setup {
    Setup { config, hostile: Some(handler), ..Setup::default() }
}

/// A proxy under attack.
pub(crate) struct Arena {
    /// The listener under attack.
    pub(crate) port: u16,
    /// The hostile server, or the good one where there is none.
    pub(crate) upstream: u16,
    /// What the good server saw.
    pub(crate) seen: Seen,
    admin: u16,
    process: Process,
    victim: Victim,
    log: PathBuf,
    terminated: bool,
    _servers: Vec<Server>,
}

/// Runs one test.
pub(crate) fn arena(setup: Setup, test: impl AsyncFnOnce(&mut Arena)) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut arena = Arena::start(setup).await;
        let ran = timeout(LIMIT, test(&mut arena)).await;
        assert!(arena.process.is_running() || arena.terminated, "the proxy died; it wrote:\n{}", arena.process.log());
        ran.expect("the test took too long");
        arena.victim.finish().unwrap_or_else(|problem| panic!("the victim suffered: {problem}"));
        let log = arena.process.log();
        assert!(!log.contains("panicked"), "{log}");
    });
}

impl Arena {
    async fn start(setup: Setup) -> Self {
        let seen = Seen::default();
        // The victim has a server of its own: only what the proxy does is to be measured.
        let mut servers = vec![Server::start(servers::good(seen.clone())), Server::start(servers::good(Seen::default()))];
        let quiet_server = servers[1].port;
        let hostile = setup.hostile.map(Server::start);
        let upstream = hostile.as_ref().unwrap_or(&servers[0]).port;
        servers.extend(hostile);
        let folder = Folder::new();
        let log = folder.path().join("access.log");
        let (port, quiet, admin) = (ports::free(), ports::free(), ports::free());
        let mut places = setup.places;
        places.extend([
            ("listener".to_owned(), port.to_string()),
            ("victim".to_owned(), quiet.to_string()),
            ("admin".to_owned(), admin.to_string()),
            ("log".to_owned(), log.display().to_string()),
            ("upstream.good".to_owned(), servers[0].port.to_string()),
            ("upstream.quiet".to_owned(), quiet_server.to_string()),
            ("upstream.hostile".to_owned(), upstream.to_string()),
        ]);
        let file = folder.path().join("bootstrap.json");
        std::fs::write(&file, bootstrap(setup.config, setup.hostile_http2, &places)).expect("the folder is writable");
        let mut process = Process::start(proxy::command(&file), folder).expect("ninon-proxy starts");
        process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}"));
        let victim = Victim::start(quiet);
        eventually(LIMIT, || async { (victim.answered() > 20).then_some(()) }).await.expect("the victim is served");
        Self { port, seen, admin, process, victim, log, terminated: false, upstream, _servers: servers }
    }

    /// Attacks again and again, in windows between quiet ones. Memory may grow by `bound` MiB.
    pub(crate) async fn withstand(&mut self, bound: u64, attack: impl AsyncFn()) {
        let before = self.rss();
        let mut most = before;
        let least = settings::attack_least_share();
        let began = Instant::now();
        let mut share = self.share(&attack, &mut most).await;
        let mut last = VecDeque::from([share]);
        while share < least && began.elapsed() < PATIENCE {
            last.push_back(self.share(&attack, &mut most).await);
            if last.len() > MEDIAN_OF {
                last.pop_front();
            }
            let mut ordered = Vec::from(last.clone());
            ordered.sort_by(f64::total_cmp);
            share = if ordered.len() < MEDIAN_OF { share.min(ordered[0]) } else { ordered[MEDIAN_OF / 2] };
        }
        let grown = most.saturating_sub(before);
        println!("{}: victim's share {share:.2}, grown by {} KiB", name(), grown);
        assert!(grown <= bound * 1024, "memory grew by {grown} KiB, more than {bound} MiB");
        assert!(share >= least, "the victim did {share:.2} of its work");
    }

    /// The victim's rate under attack by its rate in quiet.
    async fn share(&mut self, attack: &impl AsyncFn(), most: &mut u64) -> f64 {
        let (mut quiet, mut under) = (Window::default(), Window::default());
        for _ in 0..settings::attack_rounds() {
            quiet.add(&self.victim, sleep(QUIET)).await;
            let attacks = async {
                let end = Instant::now() + ATTACK;
                attack().await;
                while Instant::now() + PAUSE < end {
                    sleep(PAUSE).await;
                    attack().await;
                }
            };
            let sampled = async {
                tokio::pin!(attacks);
                while timeout(Duration::from_millis(20), &mut attacks).await.is_err() {
                    *most = (*most).max(self.rss());
                }
            };
            under.add(&self.victim, sampled).await;
            *most = (*most).max(self.rss());
        }
        under.rate() / quiet.rate().max(1.0)
    }

    /// Resident memory, KiB.
    pub(crate) fn rss(&self) -> u64 {
        self.process.rss()
    }

    /// What the proxy said on its standard error.
    pub(crate) fn process_log(&self) -> String {
        self.process.log()
    }

    /// Sends SIGTERM. The victim's work is done by then.
    pub(crate) fn terminate(&mut self) {
        self.victim.finish().unwrap_or_else(|problem| panic!("the victim suffered: {problem}"));
        self.terminated = true;
        let sent = std::process::Command::new("kill").arg(self.process.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM was not sent");
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn ended(&mut self) {
        let ended = eventually(Duration::from_secs(15), || std::future::ready((!self.process.is_running()).then_some(())));
        assert!(ended.await.is_some(), "it runs on after SIGTERM");
    }

    /// Descriptors that the proxy holds.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).map_or(0, Iterator::count)
    }

    /// A number of the admin page `/stats`; `None` of what was never used.
    async fn stat(&self, name: &str) -> Option<usize> {
        let (_, page) = wire::get(self.admin, "/stats").await.expect("a page");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
        line.parse().ok()
    }

    /// Waits until nothing is left of clients that have gone away, to whom so many descriptors do not belong. Connections
    /// to the server that wait for the next request are no loss.
    pub(crate) async fn frees_all_but(&self, descriptors: usize) {
        let connections = format!("listener.127.0.0.1_{}.downstream_cx_active", self.port);
        let held = || async {
            let waiting = self.stat("cluster.good.upstream_cx_active").await.unwrap_or_default();
            let requests = self.stat("cluster.good.upstream_rq_active").await.unwrap_or_default();
            let connections = self.stat(&connections).await.expect("a listener");
            (requests + connections, self.descriptors().saturating_sub(waiting))
        };
        let freed = eventually(LONG, || async {
            let (active, held) = held().await;
            (active == 0 && held <= descriptors + STRAY).then_some(())
        });
        if freed.await.is_none() {
            let (active, held) = held().await;
            panic!("{active} active, {held} descriptors, {descriptors} before");
        }
    }

    /// Waits for a line of the access log with `piece` in it.
    pub(crate) async fn logged(&self, piece: &str) {
        let read = || std::fs::read_to_string(&self.log).unwrap_or_default();
        let found = eventually(Duration::from_secs(5), || async { read().lines().any(|line| line.contains(piece)).then_some(()) });
        assert!(found.await.is_some(), "the access log has no `{piece}`:\n{}", read());
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = std::fs::read_to_string(&self.log).unwrap_or_default();
            println!("the proxy wrote:\n{}\nthe end of its access log:", self.process.log());
            lines.lines().rev().take(10).for_each(|line| println!("{line}"));
        }
    }
}

/// Work done in some time.
#[derive(Default)]
struct Window {
    answered: u64,
    time: Duration,
}

impl Window {
    async fn add(&mut self, victim: &Victim, during: impl Future<Output = ()>) {
        let (before, began) = (victim.answered(), Instant::now());
        during.await;
        self.answered += victim.answered() - before;
        self.time += began.elapsed();
    }

    fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.answered).unwrap_or(u32::MAX)) / self.time.as_secs_f64()
    }
}

fn name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

/// The listener under attack, and the victim's beside it.
fn bootstrap(config: &str, hostile_http2: bool, places: &Places) -> String {
    let case = "{description: '', steps: [], expect: {}, upstreams: {good: {}, quiet: {}, hostile: {protocol: PROTOCOL}}}";
    let case = case.replace("PROTOCOL", if hostile_http2 { "http2" } else { "http1" });
    let case: Case = serde_saphyr::from_str(&case).expect("the arena's case");
    let mut config: Value = serde_saphyr::from_str(config).expect("the test's configuration");
    let fields = config.as_object_mut().expect("an object");
    let routes = json!([
        {"match": {"prefix": "/hostile"}, "route": {"cluster": "hostile"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "good"}},
    ]);
    fields.entry("routes").or_insert(routes);
    fields.entry("access_log").or_insert(json!("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:PATH)%"));
    let quiet = json!({"routes": [{"match": {"prefix": "/"}, "route": {"cluster": "quiet"}}]});
    let quiet: Value = serde_json::from_str(&bootstrap::render(&case, &quiet, places)).expect("JSON");
    let mut whole: Value = serde_json::from_str(&bootstrap::render(&case, &config, places)).expect("JSON");
    let mut listener = quiet["static_resources"]["listeners"][0].clone();
    listener["name"] = json!("victim");
    listener["address"]["socket_address"]["port_value"] = json!(places["victim"].parse::<u16>().expect("a port"));
    if let Some(listeners) = whole["static_resources"]["listeners"].as_array_mut() {
        listeners.push(listener);
    }
    whole.to_string()
}
