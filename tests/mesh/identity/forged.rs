use ninon_control_plane::store::records::{Put, Shelf};
use ninon_control_plane::store::{Limits, Store};

use super::*;

/// Who can write the store, and has no key.
struct Writer(Store);

impl Writer {
    async fn new(store: &str) -> Self {
        Self(Store::etcd(&[store.strip_prefix("etcd://").unwrap().to_owned()], Limits::default()).await.unwrap())
    }

    fn text(&self, id: &str) -> String {
        self.0.records().get(Shelf::Tokens, id).unwrap().text.to_string()
    }

    async fn write(&self, id: &str, text: &str) {
        let put = Put { shelf: Shelf::Tokens, key: id.to_owned(), text: Some(text.to_owned()), expected: None };
        assert_eq!(self.0.keep(vec![put]).await.unwrap(), [true]);
    }
}

fn id(token: &str) -> &str {
    token.strip_prefix("ninon-join-").and_then(|rest| rest.split_once('.')).unwrap().0
}

async fn is_refused(stranger: &Stranger, token: &str) {
    let csr = stranger.csr("forged", "");
    let why = format!("the record of the token {} is not signed with the key of this control plane", id(token));
    let refused = || async {
        let (code, told) = stranger.certify(&csr, &json!({"token": token}));
        (code == "UNAUTHENTICATED" && told.contains(&why)).then_some(())
    };
    eventually(LIMIT, refused).await.expect("nobody joins by it");
}

/// Which is to say that it is known.
async fn is_used_up(stranger: &Stranger, token: &str) {
    let csr = stranger.csr("again", "");
    let used_up = || async { (stranger.certify(&csr, &json!({"token": token})).0 == "PERMISSION_DENIED").then_some(()) };
    eventually(LIMIT, used_up).await.expect("it is used up");
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
    let counted = || async { Some(writer.text(id(&good))).filter(|text| text.contains("\"used\":[\"key:")) };
    let whole = eventually(LIMIT, counted).await.expect("it was counted");
    let used = format!(",\"used\":[{}]", whole.split_once("\"used\":[").and_then(|(_, rest)| rest.split_once(']')).unwrap().0);

    // Somebody else's identity, and as many as like: one after the other, and what was there in between.
    let widened = [("\"shop\"", "\"bank\""), ("\"cart\"", "\"admin\""), ("\"uses\":1", "\"uses\":9"), (used.as_str(), "")];
    for (field, instead) in widened {
        let text = whole.replace(field, instead);
        assert_ne!(text, whole, "{field}");
        writer.write(id(&good), &text).await;
        is_refused(&stranger, &good).await;
        is_refused(&Stranger::new(&other), &good).await;
        writer.write(id(&good), &whole).await;
        is_used_up(&stranger, &good).await;
        is_used_up(&Stranger::new(&other), &good).await;
    }
    writer.write(id(&good), &whole.replace("\"shop\"", "\"\\u001b[2K\"")).await;
    is_refused(&stranger, &good).await;
    // A token of his own, with the secret of one that he was given.
    let his = format!("ninon-join-{}.{}", "0".repeat(16), good.split_once('.').unwrap().1);
    writer.write(id(&his), &whole).await;
    is_refused(&stranger, &his).await;
    // And what is no record at all.
    writer.write("none", "x").await;
    let strange = || async { world.does(&["token", "list", "-o", "name"]).contains("none\n").then_some(()) };
    eventually(LIMIT, strange).await.expect("it is listed");
    let listed = world.does(&["token", "list"]);
    assert_eq!(listed.matches("not signed").count(), 3, "{listed}");
    assert!(listed.contains("?[2K") && listed.lines().count() == 4, "{listed}");
    logged(&world, "a certificate was refused").await;
    assert_eq!(world.metric("ninon_certificates_issued_total").await, 0.0);

    // All can be taken away, and what comes after them is good.
    world.does(&["token", "revoke", id(&good), id(&his), "none"]);
    is_taken(&stranger, &token(&other, "shop", &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_file_is_told_and_its_tokens_are_others() {
    let mut world = World::start().await;
    let stranger = Stranger::new(&world);
    let first = token(&world, "shop", &[]);
    let path = world.path("other.key");
    for key in [vec!["--token-key-file".to_owned(), path.to_str().unwrap().to_owned()], super::nearly::given(&stranger)] {
        world.kill();
        world.flags(&key);
        world.serve().await;
        logged(&world, "nobody joins by tokens that were not signed with the key of this control plane").await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_for_several_under_a_given_authority_needs_a_key_file_for_all() {
    let (_etcd, store) = crate::replicas::etcd().await;
    let mut world = World::new(&store);
    let folder = Folder::new();
    fs::create_dir_all(folder.path()).unwrap();
    let stranger = Stranger { folder, port: 0 };
    let flags = super::nearly::given(&stranger);
    world.flags(&flags);
    let (status, log) = world.serve_in_vain().await;
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    assert!(log.contains("--token-key-file is needed with --ca-certificate"), "{log}");
    let path = stranger.path("shared.key").to_str().unwrap().to_owned();
    world.flags(&[flags, vec!["--token-key-file".to_owned(), path]].concat());
    world.serve().await;
}
