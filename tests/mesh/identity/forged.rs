use ninon_control_plane::store::records::{Put, Shelf};
use ninon_control_plane::store::{Limits, Store};

use super::*;

/// Who can write the store, and has no key.
struct Writer(Store);

impl Writer {
    async fn new(store: &str) -> Self {
        Self(Store::etcd(&[store.strip_prefix("etcd://").unwrap().to_owned()], Limits::default()).await.unwrap())
    }

    fn record(&self, id: &str) -> Value {
        serde_json::from_str(&self.0.records().get(Shelf::Tokens, id).unwrap().text).unwrap()
    }

    async fn write(&self, id: &str, record: &Value) {
        let put = Put { shelf: Shelf::Tokens, key: id.to_owned(), text: Some(record.to_string()), expected: None };
        assert_eq!(self.0.keep(vec![put]).await.unwrap(), [true]);
    }
}

fn id(token: &str) -> &str {
    token.strip_prefix("ninon-join-").and_then(|rest| rest.split_once('.')).unwrap().0
}

async fn is_refused(stranger: &Stranger, token: &str) {
    let csr = stranger.csr("forged", "");
    let refused = || async { Some(stranger.certify(&csr, &json!({"token": token}))).filter(|(code, _)| code == "UNAUTHENTICATED") };
    let (_, why) = eventually(LIMIT, refused).await.expect("nobody joins by it");
    assert!(why.contains(&format!("the record of the token {} is not signed with the key of this control plane", id(token))), "{why}");
}

async fn is_taken(stranger: &Stranger, token: &str) {
    let csr = stranger.csr("taken", "");
    let taken = || async { stranger.certify(&csr, &json!({"token": token})).0.is_empty().then_some(()) };
    eventually(LIMIT, taken).await.expect("it is good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_the_store_makes_no_token_and_changes_none() {
    let (_etcd, store) = crate::replicas::etcd().await;
    let (world, other) = (World::start_at_store(&store, &[]).await, World::start_at_store(&store, &[]).await);
    let (writer, stranger) = (Writer::new(&store).await, Stranger::new(&world));
    let good = token(&world, "shop", &["--uses", "1"]);
    is_taken(&Stranger::new(&other), &good).await;
    let whole = eventually(LIMIT, || async { Some(writer.record(id(&good))).filter(|record| record["used"][0].is_string()) });
    let whole = whole.await.expect("it was counted");

    // Somebody else's identity, and as many as like.
    for (field, value) in [("namespace", json!("bank")), ("account", json!("admin")), ("used", json!([])), ("uses", json!(1000))] {
        let mut record = whole.clone();
        record[field] = value;
        writer.write(id(&good), &record).await;
        is_refused(&stranger, &good).await;
        is_refused(&Stranger::new(&other), &good).await;
    }
    // A token of his own, with the secret of one that he was given.
    let his = format!("ninon-join-{}.{}", "0".repeat(16), good.split_once('.').unwrap().1);
    writer.write(id(&his), &whole).await;
    is_refused(&stranger, &his).await;
    let listed = world.does(&["token", "list"]);
    assert_eq!(listed.matches("not signed").count(), 2, "{listed}");
    logged(&world, "a certificate was refused").await;
    assert_eq!(world.metric("ninon_certificates_issued_total").await, 0.0);

    // Both can be taken away, and what comes after them is good.
    world.does(&["token", "revoke", id(&good), id(&his)]);
    is_taken(&stranger, &token(&other, "shop", &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_file_is_told_and_its_tokens_are_others() {
    let mut world = World::start().await;
    let stranger = Stranger::new(&world);
    let first = token(&world, "shop", &[]);
    let path = world.path("other.key");
    for key in [vec!["--token-key-file".to_owned(), path.to_str().unwrap().to_owned()], super::attacks::given(&stranger)] {
        world.kill();
        world.flags(&key);
        world.serve().await;
        logged(&world, "nobody joins by tokens that were not signed with this key").await;
        stranger.trusts(&world);
        is_refused(&stranger, &first).await;
        is_taken(&stranger, &token(&world, "shop", &[])).await;
    }
    assert!(path.exists() && world.path("data/token.key").exists(), "each was made");
    world.kill();
    world.flags(&[]);
    world.serve().await;
    stranger.trusts(&world);
    is_taken(&stranger, &first).await;
    world.kill();
    fs::write(&path, "no key\n").unwrap();
    world.flags(&["--token-key-file".to_owned(), path.to_str().unwrap().to_owned()]);
    let (status, log) = world.serve_in_vain().await;
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    assert!(log.contains("--token-key-file") && log.contains("this is no key; one is 64 hexadecimal digits"), "{log}");
}
