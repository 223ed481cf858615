//! Runs one case against one proxy, with fresh upstreams and ports.

use crate::bootstrap::{self, Places};
use crate::case::{Case, Differs, Expect};
use crate::compare::{Rules, difference};
use crate::delivery::{Delivery, Served};
use crate::names::Names;
use crate::observe::Observation;
use crate::process::{Folder, Process};
use crate::settings::Mode;
use crate::upstream::Upstreams;
use crate::{client, envoy, eventually::eventually, ports, proxy};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long the proxy has after the last step to close what it is going to close.
const SETTLE: Duration = Duration::from_millis(200);
/// Access logs are buffered; this long is a flush overdue.
const LOG_LIMIT: Duration = Duration::from_secs(3);

/// Which program is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The reference.
    Envoy,
    /// Ours.
    Ninon,
}

/// Runs `case` with `config` in place of its own fragment.
pub async fn run(case: &Case, config: &Value, subject: Subject, delivery: Delivery) -> Result<Observation, String> {
    let folder = Folder::new();
    let upstreams = Upstreams::start(case, folder.path()).await?;
    let names = Names::start(case.dns.clone()).await.map_err(|e| format!("the name server: {e}"))?;
    let (listener, admin) = (ports::free(), ports::free());
    let log = folder.path().join("access.log");
    let mut places = places(&upstreams, listener, admin, &folder);
    places.insert("dns".to_owned(), names.port.to_string());
    let path = folder.path().display().to_string();
    let file = folder.path().join("bootstrap.json");
    let mut text = bootstrap::render(case, config, &places);
    let mut served = None;
    if let Delivery::Xds(dialect) = delivery {
        let mut whole = serde_json::from_str(&text).map_err(|e| format!("the bootstrap: {e}"))?;
        served = Some(Served::take(&mut whole, dialect));
        text = whole.to_string();
    }
    fs::write(&file, text).map_err(|e| format!("writing the bootstrap: {e}"))?;
    let command = match subject {
        Subject::Envoy => envoy::command(&file),
        Subject::Ninon => proxy::command(&file),
    };
    let mut process = Process::start(command, folder)?;
    process.wait_until_ready(admin).await?;
    if let Some(served) = &served {
        served.is_taken().await.map_err(|problem| format!("{problem}; it wrote:\n{}", process.log()))?;
    }
    let settle = case.compare.settle.map_or(SETTLE, Duration::from_millis);
    let seen = client::play(&case.steps, listener, &places, &names, settle).await?;
    if !process.is_running() {
        return Err(format!("the proxy died; it wrote:\n{}", process.log()));
    }
    let access_log = read_log(case, config, &log).await;
    let mut ports = vec![(listener, "listener".to_owned()), (admin, "admin".to_owned())];
    ports.extend(upstreams.ports().map(|(name, port)| (port, format!("upstream {name}"))));
    ports.extend(seen.ports);
    let mut seen_upstreams = Vec::new();
    for (name, connections) in upstreams.seen() {
        let peers = connections.iter().enumerate();
        ports.extend(peers.map(|(index, (peer, _))| (*peer, format!("upstream {name} peer {index}"))));
        if !case.compare.without_upstreams.contains(&name) {
            seen_upstreams.push((name, connections.into_iter().map(|(_, connection)| connection).collect()));
        }
    }
    Ok(Observation { clients: seen.connections, upstreams: seen_upstreams, access_log, ports, folder: path })
}

fn places(upstreams: &Upstreams, listener: u16, admin: u16, folder: &Folder) -> Places {
    let mut places = Places::from([
        ("listener".to_owned(), listener.to_string()),
        ("admin".to_owned(), admin.to_string()),
        ("folder".to_owned(), folder.path().display().to_string()),
        ("log".to_owned(), folder.path().join("access.log").display().to_string()),
    ]);
    places.extend(upstreams.places().map(|(name, place)| (format!("upstream.{name}"), place)));
    places
}

/// The lines of the log once there are any and they have stopped growing in number.
async fn read_log(case: &Case, config: &Value, log: &Path) -> Option<Vec<String>> {
    let uses_log = serde_json::to_string(config).is_ok_and(|text| text.contains("\"access_log\""));
    if !uses_log {
        return None;
    }
    let wanted = case.steps.iter().map(|step| step.repeat.unwrap_or(1)).sum::<usize>();
    let lines = || fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let expects_lines = case.expect.sees.iter().any(|piece| piece.contains("log: "));
    let limit = if expects_lines { LOG_LIMIT } else { Duration::from_millis(200) };
    let enough = case.expect.sees.iter().filter(|piece| piece.contains("log: ")).count().clamp(1, wanted.max(1));
    eventually(limit, || async { (lines().len() >= enough).then_some(()) }).await;
    Some(lines())
}

/// Runs a case as `mode` asks and says what is wrong with it.
pub fn check(case: &Case, mode: Mode, delivery: Delivery, record: Option<&Path>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let rules = Rules::from(&case.compare);
    let side = |subject: Subject, expect: Option<&Expect>, title: &str| -> Result<String, String> {
        let seen = runtime.block_on(run(case, &case.config, subject, delivery)).map_err(|e| format!("{title}: {e}"))?;
        let text = seen.render(&rules);
        if let Some(folder) = record {
            let name = format!("{}.{}.txt", case.name.replace('/', "."), title.to_lowercase());
            fs::create_dir_all(folder).and_then(|()| fs::write(folder.join(name), &text)).map_err(|e| e.to_string())?;
        }
        if mode == Mode::EnvoyOnly {
            println!("== {}\n{text}", case.name);
        }
        expect.map_or(Ok(()), |expect| holds(expect, &seen, &text)).map_err(|e| format!("{title}: {e}\nIt saw:\n{text}"))?;
        Ok(text)
    };
    let ours = case.differs.as_ref().map_or(&case.expect, |differs| &differs.ninon);
    match mode {
        Mode::EnvoyOnly => side(Subject::Envoy, Some(&case.expect), "Envoy").map(drop),
        Mode::NinonOnly => side(Subject::Ninon, Some(ours), "Ninon").map(drop),
        Mode::EnvoyTwice => {
            let first = side(Subject::Envoy, Some(&case.expect), "Envoy")?;
            same(&first, &side(Subject::Envoy, None, "Envoy again")?)
        }
        Mode::Both => {
            let envoy = side(Subject::Envoy, Some(&case.expect), "Envoy")?;
            match &case.differs {
                Some(differs) => differs_as_written(differs, &envoy, &side(Subject::Ninon, Some(ours), "Ninon")?),
                // The difference tells more than the first fact that does not hold.
                None => {
                    let ninon = side(Subject::Ninon, None, "Ninon")?;
                    same(&envoy, &ninon)
                }
            }
        }
    }
}

fn same(envoy: &str, ninon: &str) -> Result<(), String> {
    difference(envoy, ninon).map_or(Ok(()), |lines| Err(format!("`-` only Envoy, `+` only Ninon:\n{lines}")))
}

fn differs_as_written(differs: &Differs, envoy: &str, ninon: &str) -> Result<(), String> {
    if envoy == ninon {
        return Err(format!("the difference is gone, remove `differs`: {}", differs.what));
    }
    Ok(())
}

fn holds(expect: &Expect, seen: &Observation, text: &str) -> Result<(), String> {
    if let Some(wanted) = &expect.status
        && *wanted != seen.statuses()
    {
        return Err(format!("expected the statuses {wanted:?}, got {:?}", seen.statuses()));
    }
    if let Some(piece) = expect.sees.iter().find(|piece| !text.contains(piece.as_str())) {
        return Err(format!("expected to see `{piece}`"));
    }
    match expect.never.iter().find(|piece| text.contains(piece.as_str())) {
        Some(piece) => Err(format!("expected never to see `{piece}`")),
        None => Ok(()),
    }
}
