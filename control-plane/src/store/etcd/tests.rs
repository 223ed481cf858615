//! Against the real etcd. `ETCD_BIN` names it; without it, these tests fail unless it is where `make` puts it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::*;
use crate::store::records::Shelf;
use crate::store::revision::Expected;
use crate::store::{Scope, Store};

/// A running etcd, which ends with this.
struct Server {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.process.kill().is_ok() && self.process.wait().is_ok();
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

fn spawn(folder: &std::path::Path, port: u16, peer: u16) -> Child {
    let named = std::env::var_os("ETCD_BIN").map_or_else(|| "../target/etcd/usr/bin/etcd".into(), PathBuf::from);
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(&named);
    command.arg("--data-dir").arg(folder).args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    spawned.unwrap_or_else(|error| panic!("{}: {error}; `make` installs it, and ETCD_BIN names another", named.display()))
}

/// Two ports that are free.
fn ports() -> (u16, u16) {
    let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, other) = (bind(), bind());
    (one.local_addr().unwrap().port(), other.local_addr().unwrap().port())
}

async fn server() -> Server {
    let (port, peer) = ports();
    let folder = std::env::temp_dir().join(format!("ninon-etcd-{}-{port}", std::process::id()));
    Server { process: spawn(&folder, port, peer), folder, port }
}

impl Server {
    async fn store(&self, limits: Limits) -> Store {
        let endpoints = [format!("127.0.0.1:{}", self.port)];
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            match Store::etcd(&endpoints, limits).await {
                Ok(store) => return store,
                Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
            }
        }
    }
}

fn key(name: &str) -> Key {
    Key { kind: Kind::Service, name: Name::new("shop", name) }
}

fn put(name: &str, port: u64) -> Intent {
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": {"port": port}});
    Intent { key: key(name), wanted: Some(object), expected: Expected::Any }
}

async fn write(store: &Store, intents: Vec<Intent>) -> Result<Written, StoreError> {
    store.write(Write { by: By { author: "ann".to_owned(), message: String::new() }, intents, dry_run: false }).await
}

fn port(store: &Store, name: &str) -> Option<u64> {
    store.get(&key(name))?.value()["spec"]["port"].as_u64()
}

fn everything(store: &Store) -> (u64, Vec<(Key, Value)>) {
    let listed = store.list(&Scope::default());
    (listed.revision, listed.objects.into_iter().map(|(key, object)| (key, object.value())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_see_the_same_revisions_in_the_same_order() {
    let server = server().await;
    let (one, other) = (server.store(Limits::default()).await, server.store(Limits::default()).await);
    assert_eq!(write(&one, vec![put("web", 1), put("cart", 1)]).await.unwrap().revision, Some(1));
    assert_eq!(write(&other, vec![put("web", 2)]).await.unwrap().revision, Some(2));
    assert_eq!(write(&other, vec![put("web", 2)]).await.unwrap().revision, None);
    let mut watch = one.watch(0);
    assert_eq!((watch.next().await.unwrap().number, watch.next().await.unwrap().number), (1, 2));
    assert_eq!(everything(&one), everything(&other));
    let late = Intent { expected: Expected::Version(1), ..put("web", 3) };
    let error = write(&one, vec![late]).await.unwrap_err();
    assert_eq!(error.to_string(), "Service shop/web was changed in the meantime: resourceVersion 1 was expected, it is at 2");
    write(&one, vec![Intent { wanted: None, ..put("cart", 0) }]).await.unwrap();
    assert_eq!(one.preview_rollback(1).await.unwrap().revision, None);
    assert_eq!(one.rollback(1, By::default()).await.unwrap().revision, Some(4));
    assert_eq!((port(&one, "web"), port(&one, "cart")), (Some(1), Some(1)));
    let history = other.history(Some(key("cart")), None, 10).await.unwrap();
    assert_eq!(history.iter().map(|revision| revision.number).collect::<Vec<_>>(), [4, 3, 1]);
    assert_eq!(other.revision(2).await.unwrap().by.author, "ann");
    assert_eq!(other.revision(9).await.unwrap_err(), StoreError::NoRevision { asked: 9, latest: 4 });
    let third = server.store(Limits::default()).await;
    assert_eq!(everything(&third), everything(&one));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_on_many_replicas_lose_nothing() {
    let server = server().await;
    let mut writers = Vec::new();
    for replica in 0..3 {
        let store = server.store(Limits::default()).await;
        writers.push(OwnedTask::spawn(async move {
            for port in 1..=20 {
                write(&store, vec![put(&format!("own-{replica}"), port), put("shared", u64::from(replica * 100_u32) + port)])
                    .await
                    .unwrap();
            }
        }));
    }
    for writer in writers {
        writer.join().await.unwrap();
    }
    let store = server.store(Limits::default()).await;
    assert_eq!((0..3).map(|replica| port(&store, &format!("own-{replica}"))).collect::<Vec<_>>(), [Some(20); 3]);
    let history = store.history(None, None, 1000).await.unwrap();
    assert_eq!((store.latest(), history.len()), (60, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_much_history_is_kept_and_so_much_written_at_once() {
    let server = server().await;
    let store = server.store(Limits { revisions: 3, ..Limits::default() }).await;
    for port in 1..=6 {
        write(&store, vec![put("web", port)]).await.unwrap();
    }
    let history = store.history(None, None, 100).await.unwrap();
    assert_eq!(history.iter().map(|revision| revision.number).collect::<Vec<_>>(), [6, 5, 4]);
    assert_eq!(store.revision(2).await.unwrap_err(), StoreError::Gone { asked: 2, oldest: 4 });
    assert_eq!(store.rollback(1, By::default()).await.unwrap_err(), StoreError::Gone { asked: 1, oldest: 3 });
    let many = (0..200).map(|number| put(&format!("s{number}"), 1)).collect();
    assert!(matches!(write(&store, many).await.unwrap_err(), StoreError::TooLarge(_)));
    assert_eq!(store.latest(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_may_restart_and_replicas_go_on() {
    let mut server = server().await;
    let peer = ports().1;
    let (one, other) = (server.store(Limits::default()).await, server.store(Limits::default()).await);
    write(&one, vec![put("web", 1)]).await.unwrap();
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    assert_eq!(port(&one, "web"), Some(1), "reads go on");
    server.process = spawn(&server.folder, server.port, peer);
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = write(&one, vec![put("web", 2)]).await {
        assert!(tokio::time::Instant::now() < end, "{error}");
    }
    let mut watch = other.watch(1);
    let seen = tokio::time::timeout(Duration::from_secs(20), watch.next()).await.unwrap().unwrap();
    assert_eq!((seen.number, port(&other, "web")), (2, Some(2)));
}

fn record(key: &str, text: Option<&str>, expected: Option<u64>) -> Put {
    Put { shelf: Shelf::Registrations, key: key.to_owned(), text: text.map(ToOwned::to_owned), expected }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_seen_by_all_and_one_of_two_writers_wins() {
    let server = server().await;
    let (one, other) = (server.store(Limits::default()).await, server.store(Limits::default()).await);
    // More than one transaction takes.
    let many: Vec<Put> = (0..250).map(|at| record(&format!("shop/{at:03}"), Some("1"), Some(0))).collect();
    assert!(one.keep(many).await.unwrap().into_iter().all(|kept| kept));
    assert_eq!(one.records().count(Shelf::Registrations), 250, "what is written is known");
    let mut changes = other.records().changes();
    let all = changes.wait_for(|_| other.records().count(Shelf::Registrations) == 250);
    drop(tokio::time::timeout(SEEN, all).await.expect("the other hears of it").unwrap());

    let version = one.records().get(Shelf::Registrations, "shop/007").unwrap().version;
    let take = |text: &str| vec![record("shop/007", Some(text), Some(version)), record("shop/new", Some(text), None)];
    let (first, second) = tokio::join!(one.keep(take("one")), other.keep(take("other")));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first[1], second[1]), (true, true), "each record is by itself");
    assert_ne!(first[0], second[0], "{first:?} {second:?}");
    assert_eq!(one.keep(vec![record("shop/none", None, None), record("shop/001", None, None)]).await.unwrap(), [true, true]);
    // What is there after a start is the same.
    let third = server.store(Limits::default()).await;
    assert_eq!(third.records().list(Shelf::Registrations).len(), 250);
    assert_eq!(third.records().list(Shelf::Registrations), one.records().list(Shelf::Registrations));
}
