use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::kind::Kind;
use crate::model::name::Name;
use crate::store::object::content;
use crate::store::revision::{Expected, Outcome, Verdict};
use crate::store::{Scope, Store};

/// A full disk.
mod full;

/// A directory that is gone afterwards.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ninon-store-{}-{:016x}", std::process::id(), fastrand::u64(..)));
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

fn key(name: &str) -> Key {
    Key { kind: Kind::Service, name: Name::new("shop", name) }
}

fn service(name: &str, port: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": {"ports": [{"port": port}]}})
}

fn by(author: &str) -> By {
    By { author: author.to_owned(), message: String::new() }
}

fn put(name: &str, port: u64) -> Intent {
    Intent { key: key(name), wanted: Some(service(name, port)), expected: Expected::Any }
}

fn delete(name: &str) -> Intent {
    Intent { key: key(name), wanted: None, expected: Expected::Any }
}

async fn write(store: &Store, intents: Vec<Intent>) -> Result<Written, StoreError> {
    store.write(Write { by: by("ann"), intents, dry_run: false }).await
}

async fn open(folder: &Folder) -> Store {
    Store::embedded(&folder.0, Limits::default()).await.unwrap()
}

fn port(object: Option<Object>) -> Option<u64> {
    object?.value()["spec"]["ports"][0]["port"].as_u64()
}

#[tokio::test]
async fn a_write_is_a_revision_that_says_who_and_what() {
    let folder = Folder::new();
    let store = open(&folder).await;
    let written = write(&store, vec![put("web", 80), put("cart", 81)]).await.unwrap();
    assert_eq!(written.revision, Some(1));
    assert_eq!(written.outcomes.iter().map(Outcome::verdict).collect::<Vec<_>>(), [Verdict::Created; 2]);
    write(&store, vec![put("web", 90)]).await.unwrap();
    let history = store.history(None, None, 10).await.unwrap();
    assert_eq!(history.iter().map(|revision| revision.number).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((history[0].by.author.as_str(), history[0].changes.len()), ("ann", 1));
    let change = &history[0].changes[0];
    assert_eq!((port(change.before.clone()), port(change.after.clone())), (Some(80), Some(90)));
    let of_cart = store.history(Some(key("cart")), None, 10).await.unwrap();
    assert_eq!(of_cart.iter().map(|revision| revision.number).collect::<Vec<_>>(), [1]);
    assert_eq!(store.list(&Scope::default()).revision, 2);
    assert_eq!(store.get(&key("web")).unwrap().version(), 2);
}

#[tokio::test]
async fn what_changes_nothing_is_no_revision() {
    let folder = Folder::new();
    let store = open(&folder).await;
    write(&store, vec![put("web", 80)]).await.unwrap();
    let again = write(&store, vec![put("web", 80)]).await.unwrap();
    assert_eq!((again.revision, again.outcomes[0].verdict()), (None, Verdict::Unchanged));
    assert_eq!(store.latest(), 1);
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let folder = Folder::new();
    let store = open(&folder).await;
    let would = store.write(Write { by: by("ann"), intents: vec![put("web", 80)], dry_run: true }).await.unwrap();
    assert_eq!((would.revision, would.outcomes[0].verdict()), (None, Verdict::Created));
    assert_eq!((store.latest(), store.get(&key("web"))), (0, None));
}

#[tokio::test]
async fn a_conflict_names_both_versions_and_changes_nothing() {
    let folder = Folder::new();
    let store = open(&folder).await;
    write(&store, vec![put("web", 80)]).await.unwrap();
    write(&store, vec![put("web", 81)]).await.unwrap();
    let late = Intent { expected: Expected::Version(1), ..put("web", 82) };
    let error = write(&store, vec![put("cart", 1), late]).await.unwrap_err();
    assert_eq!(error.to_string(), "Service shop/web was changed in the meantime: resourceVersion 1 was expected, it is at 2");
    assert_eq!((store.latest(), store.get(&key("cart"))), (2, None));
    let twice = write(&store, vec![put("web", 1), put("web", 2)]).await.unwrap_err();
    assert_eq!(twice.to_string(), "Service shop/web is named twice in one write");
    assert_eq!(write(&store, vec![delete("nobody")]).await.unwrap_err(), StoreError::NotFound(key("nobody")));
}

#[tokio::test]
async fn a_rollback_is_a_revision_that_can_itself_be_rolled_back() {
    let folder = Folder::new();
    let store = open(&folder).await;
    write(&store, vec![put("web", 80)]).await.unwrap();
    write(&store, vec![put("web", 81), put("cart", 1)]).await.unwrap();
    write(&store, vec![delete("web")]).await.unwrap();
    let preview = store.preview_rollback(1).await.unwrap();
    let before = store.latest();
    let back = store.rollback(1, by("bob")).await.unwrap();
    let verdicts = |written: &Written| -> Vec<_> { written.outcomes.iter().map(|of| (of.key.clone(), of.verdict())).collect() };
    assert_eq!((preview.revision, verdicts(&preview), back.revision), (None, verdicts(&back), Some(before + 1)));
    assert_eq!(back.revision, Some(4));
    assert_eq!((port(store.get(&key("web"))), store.get(&key("cart"))), (Some(80), None));
    store.rollback(2, by("bob")).await.unwrap();
    assert_eq!((port(store.get(&key("web"))), port(store.get(&key("cart")))), (Some(81), Some(1)));
    assert_eq!(store.rollback(5, by("bob")).await.unwrap().revision, None, "that is what there is");
    let error = store.rollback(9, by("bob")).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no revision 9; the latest is 5");
}

#[tokio::test]
async fn only_so_much_history_is_kept() {
    let folder = Folder::new();
    let limits = Limits { revisions: 3, ..Limits::default() };
    let store = Store::embedded(&folder.0, limits).await.unwrap();
    for port in 1..=10 {
        write(&store, vec![put("web", port)]).await.unwrap();
    }
    let numbers = |history: Vec<Arc<Revision>>| history.iter().map(|revision| revision.number).collect::<Vec<_>>();
    assert_eq!(numbers(store.history(None, None, 100).await.unwrap()), [10, 9, 8]);
    assert_eq!(numbers(store.history(Some(key("web")), Some(10), 100).await.unwrap()), [9, 8]);
    assert_eq!(store.revision(3).await.unwrap_err(), StoreError::Gone { asked: 3, oldest: 8 });
    store.rollback(7, by("ann")).await.unwrap();
    assert_eq!(port(store.get(&key("web"))), Some(7));
    assert!(matches!(store.rollback(3, by("ann")).await.unwrap_err(), StoreError::Gone { asked: 3, .. }));
}

#[tokio::test]
async fn history_is_bounded_by_its_bytes_too() {
    let folder = Folder::new();
    let store = Store::embedded(&folder.0, Limits { revision_bytes: 4_000, ..Limits::default() }).await.unwrap();
    for port in 1..=50 {
        write(&store, vec![put("web", port)]).await.unwrap();
    }
    let kept = store.history(None, None, 100).await.unwrap();
    assert!((2..10).contains(&kept.len()), "{}", kept.len());
}

#[tokio::test]
async fn a_follower_sees_every_revision_and_one_that_is_too_slow_is_told() {
    let folder = Folder::new();
    let store = Store::embedded(&folder.0, Limits { recent: 4, ..Limits::default() }).await.unwrap();
    let mut watch = store.watch(0);
    write(&store, vec![put("web", 1)]).await.unwrap();
    write(&store, vec![put("web", 2)]).await.unwrap();
    assert_eq!(watch.next().await.unwrap().number, 1);
    assert_eq!(watch.next().await.unwrap().number, 2);
    for port in 3..=8 {
        write(&store, vec![put("web", port)]).await.unwrap();
    }
    assert_eq!(watch.next().await.unwrap_err(), StoreError::Gone { asked: 2, oldest: 5 });
    let mut ahead = store.watch(8);
    assert!(tokio::time::timeout(Duration::from_millis(20), ahead.next()).await.is_err());
    write(&store, vec![put("web", 9)]).await.unwrap();
    assert_eq!(ahead.next().await.unwrap().number, 9);
}

#[tokio::test]
async fn a_second_process_is_refused_with_a_sentence() {
    let folder = Folder::new();
    let _store = open(&folder).await;
    let error = Store::embedded(&folder.0, Limits::default()).await.unwrap_err();
    let path = folder.0.display();
    let sentence = format!("the state directory {path} is in use by another process; each `ninon serve` needs its own --state-dir");
    assert_eq!(error.to_string(), sentence);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_and_followers_may_go_on() {
    let folder = Folder::new();
    let store = open(&folder).await;
    write(&store, vec![put("web", 80)]).await.unwrap();
    write(&store, vec![put("cart", 80)]).await.unwrap();
    let before = store.list(&Scope::default());
    store.close().await;
    let store = open(&folder).await;
    let after = store.list(&Scope::default());
    assert_eq!((after.revision, after.objects), (before.revision, before.objects));
    assert_eq!(store.watch(1).next().await.unwrap().number, 2);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u64),
    Delete(u8),
    /// Several at once.
    Both(u8, u64, u8),
    /// To a revision, as a share of those there are.
    Rollback(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4u8, 0..3u64).prop_map(|(name, port)| Step::Put(name, port)),
        3 => (0..4u8).prop_map(Step::Delete),
        2 => (0..4u8, 0..3u64, 0..4u8).prop_map(|(put, port, delete)| Step::Both(put, port, delete)),
        2 => any::<u8>().prop_map(Step::Rollback),
        1 => Just(Step::Restart),
    ]
}

/// What the objects were after each revision, by a simple model of them.
type Model = BTreeMap<Key, Value>;

fn model_of(store: &Store) -> Model {
    store.list(&Scope::default()).objects.into_iter().map(|(key, object)| (key, content(object.value()))).collect()
}

async fn take(store: Store, folder: &Folder, ages: &mut Vec<Model>, step: Step) -> Store {
    let name = |name: u8| format!("s{name}");
    let mut next = ages.last().unwrap().clone();
    let result = match step {
        Step::Put(at, port) => {
            next.insert(key(&name(at)), service(&name(at), port));
            Some(write(&store, vec![put(&name(at), port)]).await)
        }
        Step::Delete(at) => {
            let there = next.remove(&key(&name(at))).is_some();
            let result = write(&store, vec![delete(&name(at))]).await;
            assert_eq!(result.is_ok(), there);
            there.then_some(result)
        }
        Step::Both(at, port, gone) => {
            let result = write(&store, vec![put(&name(at), port), delete(&name(gone))]).await;
            let possible = at != gone && next.contains_key(&key(&name(gone)));
            assert_eq!(result.is_ok(), possible);
            if possible {
                next.insert(key(&name(at)), service(&name(at), port));
                next.remove(&key(&name(gone)));
            }
            possible.then_some(result)
        }
        Step::Rollback(share) => {
            let to = usize::from(share) * (ages.len() - 1) / 255;
            next = ages[to].clone();
            Some(store.rollback(u64::try_from(to).unwrap(), by("ann")).await)
        }
        Step::Restart => {
            store.close().await;
            return open(folder).await;
        }
    };
    if let Some(result) = result {
        let changed = next != *ages.last().unwrap();
        assert_eq!(result.unwrap().revision.is_some(), changed);
        if changed {
            ages.push(next);
        }
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The store is a map with a memory: whatever happens, it says what a plain list of maps says.
    #[test]
    fn any_sequence_of_writes_leaves_what_a_map_would_hold(steps in proptest::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = Folder::new();
            let mut store = open(&folder).await;
            let mut ages = vec![Model::new()];
            for step in steps {
                store = take(store, &folder, &mut ages, step).await;
                assert_eq!(&model_of(&store), ages.last().unwrap());
                assert_eq!(usize::try_from(store.latest()).unwrap(), ages.len() - 1);
            }
            // The history replays to every age.
            let mut replayed = Model::new();
            let mut history = store.history(None, None, 1000).await.unwrap();
            history.reverse();
            for (revision, age) in history.iter().zip(&ages[1..]) {
                for change in &revision.changes {
                    match &change.after {
                        Some(object) => replayed.insert(change.key.clone(), content(object.value())),
                        None => replayed.remove(&change.key),
                    };
                }
                assert_eq!(&replayed, age);
            }
        });
    }
}

/// The process that is killed: it writes without end and says each revision that was acknowledged. Without a folder in the
/// environment it is no test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test below, in a process of its own"]
async fn a_process_that_writes_without_end() {
    let Some(folder) = std::env::var_os("NINON_STORE_FOLDER") else { return };
    let store = Store::embedded(folder.as_ref(), Limits { revisions: 50, ..Limits::default() }).await.unwrap();
    let writers: Vec<_> = (0..4).map(|writer| OwnedTask::spawn(write_without_end(store.clone(), writer))).collect();
    for writer in writers {
        writer.join().await;
    }
}

async fn write_without_end(store: Store, writer: u32) {
    use std::io::Write as _;
    for port in 1.. {
        let name = format!("w{writer}");
        let both = vec![put(&name, port), put(&format!("{name}-twin"), port)];
        let revision = write(&store, both).await.unwrap().revision.unwrap_or_default();
        // One call of the system, so that a line is whole or not there.
        let line = format!("acknowledged {revision} {name} {port}\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figure is the point")]
async fn no_acknowledged_write_is_lost_by_kill_9() {
    let folder = Folder::new();
    let mut slowest = Duration::ZERO;
    let mut acknowledged_in_all = 0;
    for round in 0..25 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::embedded::tests::a_process_that_writes_without_end", "--ignored", "--nocapture"])
            .env("NINON_STORE_FOLDER", &folder.0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut note = |line: String| {
            let words: Vec<_> = line.split(' ').collect();
            let ["acknowledged", revision, name, port] = words.as_slice() else { return };
            acknowledged.insert((*name).to_owned(), (revision.parse().unwrap(), port.parse().unwrap()));
            acknowledged_in_all += 1;
        };
        // At some moment: after so many lines, and whatever happens meanwhile.
        for _ in 0..fastrand::usize(5..60) {
            note(lines.next().unwrap().unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.map_while(Result::ok).for_each(note);
        let start = tokio::time::Instant::now();
        let store = open(&folder).await;
        slowest = slowest.max(start.elapsed());
        for (name, (revision, at_least)) in &acknowledged {
            let there = port(store.get(&key(name))).unwrap();
            assert!(there >= *at_least, "round {round}: {name} is {there}, {at_least} was acknowledged");
            assert_eq!(port(store.get(&key(&format!("{name}-twin")))), Some(there), "round {round}: half a write");
            assert!(store.latest() >= *revision);
        }
        let all = store.history(None, None, 1000).await.unwrap();
        let gapless = all.windows(2).all(|pair| pair[0].number == pair[1].number + 1);
        assert!(gapless && all[0].number == store.latest(), "round {round}");
        store.close().await;
    }
    println!("25 kills, {acknowledged_in_all} acknowledged writes, all there; opening took {slowest:?} at most");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

fn record(key: &str, text: Option<&str>, expected: Option<u64>) -> Put {
    Put { shelf: Shelf::Tokens, key: key.to_owned(), text: text.map(ToOwned::to_owned), expected }
}

#[tokio::test]
async fn records_are_compared_kept_and_have_no_history() {
    let folder = Folder::new();
    {
        let store = open(&folder).await;
        assert_eq!(store.keep(vec![record("a", Some("1"), Some(0)), record("b", Some("1"), None)]).await.unwrap(), [true, true]);
        let first = store.records().get(Shelf::Tokens, "a").unwrap();
        assert_eq!(store.keep(vec![record("a", Some("2"), Some(0))]).await.unwrap(), [false], "it is there");
        let of_version = |text: &'static str| record("a", Some(text), Some(first.version));
        // The second of the same write believes what is no longer so.
        assert_eq!(store.keep(vec![of_version("3"), of_version("4"), record("b", None, None)]).await.unwrap(), [true, false, true]);
        assert_eq!((store.latest(), store.records().count(Shelf::Tokens)), (0, 1));
        assert_ne!(store.records().get(Shelf::Tokens, "a").unwrap().version, first.version);
        store.close().await;
        assert_eq!(store.keep(vec![record("c", Some("1"), None)]).await, Err(StoreError::Closed));
    }
    let store = open(&folder).await;
    let kept: Vec<_> =
        store.records().list(Shelf::Tokens).into_iter().map(|(key, kept)| (key.to_string(), kept.text.to_string())).collect();
    assert_eq!(kept, [("a".to_owned(), "3".to_owned())]);
}

#[tokio::test]
async fn whoever_follows_records_hears_of_each_write_of_them_and_of_nothing_else() {
    let folder = Folder::new();
    let store = open(&folder).await;
    let mut changes = store.records().changes();
    changes.mark_unchanged();
    write(&store, vec![put("web", 80)]).await.unwrap();
    assert!(!changes.has_changed().unwrap());
    store.keep(vec![record("a", Some("1"), None)]).await.unwrap();
    assert!(changes.has_changed().unwrap());
}
