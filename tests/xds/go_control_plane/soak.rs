use std::collections::BTreeMap;
use std::time::Duration;

use ninon_tests::settings;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::load::{CLIENTS, Done, Load};
use super::mesh::Resources;
use super::random::{Changes, EDGE};
use super::refused::FAULTS;
use super::world::{Dialect, World};

/// Fifty changes a second.
const CHANGE: Duration = Duration::from_millis(20);
/// One in so many is bad.
const BAD: u32 = 10;
/// Five hundred requests a second, of all clients together.
const REQUEST: Duration = Duration::from_millis(2);
/// So often, what is set is all good, and has to be served.
const LOOK: Duration = Duration::from_secs(5);
/// From then on memory is not to grow.
const WARM: Duration = Duration::from_secs(60);
/// What an allocator keeps more or less of, KiB.
const NOISE: u64 = 1024;

/// Makes one of the resources bad that the proxy has had in a good state: it is to keep that.
fn spoiled(mut resources: Resources, known: &Resources, changes: &mut Changes) -> Option<Resources> {
    let name = |resource: &Value| resource.get("cluster_name").unwrap_or(&resource["name"]).clone();
    let mut faults: Vec<_> = FAULTS.iter().collect();
    changes.random.shuffle(&mut faults);
    for (kind, spoil, _) in faults {
        let had: Vec<Value> = known[kind].iter().map(name).collect();
        let candidates: Vec<&mut Value> = resources.get_mut(kind)?.iter_mut().filter(|resource| had.contains(&name(resource))).collect();
        if let Some(chosen) = changes.random.choice(candidates) {
            spoil(chosen);
            return Some(resources);
        }
    }
    None
}

/// Resident memory while it goes on.
#[derive(Default)]
struct Memory(Vec<(Duration, u64)>);

impl Memory {
    /// Looks at what is used after the first minute, and at the end.
    fn check(&self, whole: Duration) {
        let most = |from: Duration, to: Duration| self.0.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, kib)| *kib).max();
        println!("KiB by second: {:?}", self.0.iter().map(|(at, kib)| (at.as_secs(), *kib)).collect::<Vec<_>>());
        let (Some(early), Some(late)) = (most(WARM, 2 * WARM), most(whole.saturating_sub(WARM), Duration::MAX)) else { return };
        if whole >= 3 * WARM {
            assert!(late <= early + NOISE, "{early} KiB in the second minute, {late} KiB in the last");
        }
    }
}

async fn soak(dialect: Dialect) {
    let mut changes = Changes::new();
    let mut mesh = changes.first();
    let mut world = World::start(dialect, &mesh).await;
    world.shows(&mesh).await;
    let load = Load::start(&world, EDGE, &mesh, REQUEST * CLIENTS);
    let (whole, began) = (settings::xds_soak(), Instant::now());
    let (mut made, mut bad, mut memory) = (0_u32, 0_u32, Memory::default());
    let mut refused = BTreeMap::<String, usize>::new();
    let mut ticks = interval(CHANGE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while began.elapsed() < whole {
        let (look, known) = (Instant::now() + LOOK, world.resources(&mesh));
        while Instant::now() < look {
            ticks.tick().await;
            made += 1;
            if made % BAD == 0
                && let Some(resources) = spoiled(world.resources(&mesh), &known, &mut changes)
            {
                bad += 1;
                world.set(resources).await;
                continue;
            }
            changes.serve_next(&mut mesh, &mut world, &load, dialect).await;
        }
        world.set(world.resources(&mesh)).await;
        changes.are_seen(&mesh, &world, &load).await;
        memory.0.push((began.elapsed(), world.proxy.rss()));
        let mut journal = world.server.journal();
        journal.refusals.drain(..).for_each(|refusal| *refused.entry(refusal.kind).or_default() += 1);
        journal.events.clear();
    }
    let seconds = began.elapsed().as_secs_f64();
    let Done { requests, crossed } = load.end(&world).await;
    println!("{dialect:?}: {seconds:.0} s, {made} changes, {bad} of them bad, refused {refused:?}; {requests} requests, {crossed} crossed");
    memory.check(began.elapsed());
    let dump = world.dump().await;
    let world = world.restart_proxy().await;
    world.server.settled().await;
    world.shows(&mesh).await;
    assert_eq!(dump, world.dump().await, "the state after all changes, and that of a fresh start");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_sotw() {
    soak(Dialect::Sotw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_delta() {
    soak(Dialect::Delta).await;
}
