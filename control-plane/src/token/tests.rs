use super::*;
use crate::keyfile::Key;
use crate::store::Limits as Room;
use crate::store::embedded::tests::Folder;

impl Tokens {
    /// As if its time had come, in 2020.
    pub(crate) async fn expire(&self, id: &str) {
        let token = self.get(id).unwrap();
        let past = Token { expires: humantime::parse_rfc3339("2020-01-01T00:00:00Z").unwrap(), ..token };
        assert_eq!(self.store.keep(vec![past.put(&self.signer)]).await.unwrap(), [true]);
    }

    /// Somebody else writes to the store.
    async fn write(&self, id: &str, text: String) {
        let put = Put { shelf: Shelf::Tokens, key: id.to_owned(), text: Some(text), expected: None };
        assert_eq!(self.store.keep(vec![put]).await.unwrap(), [true]);
    }

    fn text(&self, id: &str) -> String {
        self.store.records().get(Shelf::Tokens, id).unwrap().text.to_string()
    }
}

fn wish(workload: Option<&str>, uses: Option<u32>) -> Wish {
    let (namespace, service_account) = ("shop".to_owned(), "cart".to_owned());
    Wish {
        namespace,
        service_account,
        workload: workload.map(ToOwned::to_owned),
        limits: Limits::default(),
        ttl: Duration::from_secs(3600),
        uses,
    }
}

fn name(name: &str) -> Name {
    Name::new("shop", name)
}

fn signer(byte: u8) -> Signer {
    Signer::new(&Key::new([byte; 32]))
}

async fn tokens(folder: &Folder) -> Tokens {
    Tokens::new(Store::embedded(folder.path(), Room::default()).await.unwrap(), signer(7))
}

#[tokio::test]
async fn a_token_is_known_by_its_secret_and_kept_without_it() {
    let folder = Folder::new();
    let (token, shown) = {
        let tokens = tokens(&folder).await;
        let made = tokens.create(wish(None, None), None).await.unwrap();
        assert_eq!(tokens.list().len(), 1);
        tokens.store.close().await;
        made
    };
    let tokens = tokens(&folder).await;
    assert_eq!(tokens.known(&shown).unwrap().id, token.id);
    let secret = shown.split_once('.').unwrap().1.to_owned();
    let kept = tokens.store.records().get(Shelf::Tokens, &token.id).unwrap();
    assert!(!kept.text.contains(&secret) && !format!("{tokens:?}{token:?}").contains(&secret));
    let last = if shown.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{last}", &shown[..shown.len() - 1]);
    for wrong in [other.as_str(), "", "ninon-join-.", &shown[1..], &shown[..shown.len() - 1], &shown.to_uppercase()] {
        assert_eq!(tokens.known(wrong), Err(Refused::Unknown), "{wrong}");
    }
    assert!(tokens.revoke(&token.id).await.unwrap());
    assert_eq!(tokens.known(&shown), Err(Refused::Unknown));
    assert!(!tokens.revoke(&token.id).await.unwrap(), "it is gone");
}

#[tokio::test]
async fn a_token_says_whom_to_trust_and_is_known_with_it_and_without() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let pin = "A".repeat(43);
    let (token, shown) = tokens.create(wish(None, None), Some(&pin)).await.unwrap();
    let without = shown.strip_suffix(&format!(".{pin}")).unwrap();
    assert_eq!(without.matches('.').count(), 1);
    let other = format!("{without}.{}", "-".repeat(43));
    for good in [shown.as_str(), without, &other] {
        assert_eq!(tokens.known(good).unwrap().id, token.id, "the root may have changed");
    }
    for wrong in [format!("{without}."), format!("{shown}A"), format!("{shown}.{pin}"), format!("{without}.{}", "=".repeat(43))] {
        assert_eq!(tokens.known(&wrong), Err(Refused::Unknown), "{wrong}");
    }
}

#[tokio::test]
async fn a_key_is_counted_once_and_beside_names() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let (token, _) = tokens.create(wish(None, Some(2)), None).await.unwrap();
    let now = SystemTime::now();
    assert_eq!(tokens.take_for_key(&token.id, "0a", now).await, Ok(()));
    assert_eq!(tokens.take_for_key(&token.id, "0a", now).await, Ok(()));
    assert_eq!(tokens.take(&token.id, &name("cart-1"), "cart", now).await, Ok(()));
    assert_eq!(tokens.take_for_key(&token.id, "0b", now).await, Err(Refused::UsedUp(2)));
    let later = now + Duration::from_secs(3601);
    assert!(matches!(tokens.take_for_key(&token.id, "0a", later).await, Err(Refused::Expired(_))), "also for one that has joined");
}

#[tokio::test]
async fn nobody_joins_as_the_control_plane() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let (token, _) = tokens
        .create(Wish { namespace: "ninon-system".to_owned(), service_account: "ninon".to_owned(), ..wish(None, None) }, None)
        .await
        .unwrap();
    assert!(matches!(token.allows(&Name::new("ninon-system", "x"), "ninon"), Err(Refused::NotFor(_))));
}

#[tokio::test]
async fn a_token_is_for_one_namespace_and_account_and_perhaps_one_workload() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let (any, _) = tokens.create(wish(None, None), None).await.unwrap();
    let (one, _) = tokens.create(wish(Some("cart-1"), None), None).await.unwrap();
    assert_eq!(any.allows(&name("cart-2"), "cart"), Ok(()));
    assert_eq!(one.allows(&name("cart-1"), "cart"), Ok(()));
    let told = |refused: Result<(), Refused>| refused.unwrap_err().to_string();
    let (a, b) = (&any.id, &one.id);
    let namespace = told(any.allows(&Name::new("bank", "cart-1"), "cart"));
    assert_eq!(namespace, format!("the token {a} is for namespace \"shop\", and this is namespace \"bank\""));
    let account = told(any.allows(&name("cart-1"), "admin"));
    assert_eq!(account, format!("the token {a} is for service account \"cart\", and this is service account \"admin\""));
    let workload = told(one.allows(&name("cart-2"), "cart"));
    assert_eq!(workload, format!("the token {b} is for workload \"cart-1\", and this is workload \"cart-2\""));
}

#[tokio::test]
async fn a_token_ends_by_time_and_by_use() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let (token, _) = tokens.create(wish(None, Some(2)), None).await.unwrap();
    let now = SystemTime::now();
    // Those who come at the same time are counted one after the other.
    let (first, second) = (name("cart-1"), name("cart-2"));
    let (one, other) = tokio::join!(tokens.take(&token.id, &first, "cart", now), tokens.take(&token.id, &second, "cart", now));
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert_eq!(tokens.take(&token.id, &name("cart-3"), "cart", now).await, Err(Refused::UsedUp(2)));
    assert_eq!(tokens.take(&token.id, &first, "cart", now).await, Ok(()), "it has joined");
    let later = now + Duration::from_secs(3601);
    let expired = tokens.take(&token.id, &first, "cart", later).await.unwrap_err();
    assert!(matches!(expired, Refused::Expired(_)) && expired.to_string().starts_with("the token expired at 2"), "{expired}");
    assert!(matches!(tokens.take(&token.id, &first, "other", now).await, Err(Refused::NotFor(_))));
}

#[tokio::test]
async fn a_token_keeps_its_limits_and_an_older_record_has_none() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let limits = Limits::new([("app".to_owned(), "cart".to_owned())].into()).unwrap();
    let (limited, _) = tokens.create(Wish { limits: limits.clone(), ..wish(None, Some(1)) }, None).await.unwrap();
    tokens.take(&limited.id, &name("cart-1"), "cart", SystemTime::now()).await.unwrap();
    assert_eq!(tokens.get(&limited.id).unwrap().limits, limits, "and when it was used");
    let (any, _) = tokens.create(wish(None, None), None).await.unwrap();
    let kept = tokens.store.records().get(Shelf::Tokens, &any.id).unwrap();
    assert!(!kept.text.contains("labels"), "written as ever: {}", kept.text);
    assert!(tokens.get(&any.id).unwrap().limits.is_none());
}

/// What somebody does to a record.
type Change = fn(&mut Record);

#[tokio::test]
async fn who_writes_the_store_without_the_key_changes_no_token() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let limits = Limits::new([("app".to_owned(), "cart".to_owned())].into()).unwrap();
    let (token, shown) = tokens.create(Wish { limits, ..wish(Some("cart-1"), Some(1)) }, None).await.unwrap();
    let now = SystemTime::now();
    tokens.take(&token.id, &name("cart-1"), "cart", now).await.unwrap();
    let own = tokens.text(&token.id);
    let refused = Refused::NotSigned(token.id.clone());
    let changes: [(&str, Change); 11] = [
        ("namespace", |record| record.namespace = "bank".to_owned()),
        ("account", |record| record.account = "admin".to_owned()),
        ("workload", |record| record.workload = Some("cart-2".to_owned())),
        ("no workload", |record| record.workload = None),
        ("labels", |record| record.labels = Limits::default()),
        ("created", |record| record.created = "2000-01-01T00:00:00Z".to_owned()),
        ("expires", |record| record.expires = "2999-01-01T00:00:00Z".to_owned()),
        ("uses", |record| record.uses = Some(2)),
        ("no uses", |record| record.uses = None),
        ("used", |record| record.used.clear()),
        ("no signature", |record| record.signature = None),
    ];
    // Written as it is read, in each of them but for one thing.
    let written = |change: &dyn Fn(&mut Record)| {
        let mut record: Record = serde_json::from_str(&own).unwrap();
        change(&mut record);
        serde_json::to_string(&record).unwrap()
    };
    for (what, change) in changes {
        let text = written(&change);
        assert_ne!(text, own, "{what}");
        tokens.write(&token.id, text).await;
        assert_eq!(tokens.known(&shown), Err(refused.clone()), "{what}");
        assert_eq!(tokens.take_for_key(&token.id, "0a", now).await, Err(refused.clone()), "{what}");
        assert!(tokens.list().iter().all(|token| !token.is_signed), "and an operator sees it");
        tokens.write(&token.id, written(&|_| {})).await;
        assert_eq!(tokens.known(&shown).unwrap().used, ["shop/cart-1"], "{what}: as it was");
    }
    // Nobody knows here what these say.
    for other in [own.replacen('{', "{\"audience\":\"other\",", 1), own.replacen('{', "{ ", 1)] {
        tokens.write(&token.id, other.clone()).await;
        assert_eq!(tokens.known(&shown), Err(refused.clone()), "{other}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_seen_and_can_be_taken_away() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let (token, shown) = tokens.create(wish(None, None), None).await.unwrap();
    let own = tokens.text(&token.id);
    for strange in ["", "x", "{}", "null", &own.replace("Z\"", "\""), &own.replace("\"digest\":\"", "\"digest\":\"é")] {
        assert_ne!(*strange, own);
        tokens.write(&token.id, strange.to_owned()).await;
        assert_eq!(tokens.known(&shown), Err(Refused::Unknown), "{strange}");
        let listed: Vec<_> = tokens.list().into_iter().map(|token| (token.id, token.is_signed)).collect();
        assert_eq!(listed, [(token.id.clone(), false)], "{strange}");
    }
    // Nobody has the secret of no digest.
    assert!(!Digest::of_nothing().is_of(&Written::random().unwrap()));
    assert!(tokens.revoke(&token.id).await.unwrap());
    assert_eq!(tokens.list(), []);
}

#[tokio::test]
async fn which_are_signed_is_looked_at_once() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let (token, _) = tokens.create(wish(None, None), None).await.unwrap();
    let first = tokens.signed(&Signed::new());
    let of = |signed: &Signed| signed.values().map(|(_, is_signed)| *is_signed).collect::<Vec<_>>();
    assert_eq!(of(&first), [true]);
    // With another key all would be strange: this one is not looked at again.
    let other = Tokens::new(tokens.store.clone(), signer(8));
    assert_eq!(of(&other.signed(&first)), [true]);
    assert_eq!(of(&other.signed(&Signed::new())), [false]);
    tokens.write(&token.id, "x".to_owned()).await;
    assert_eq!(of(&tokens.signed(&first)), [false]);
}

#[tokio::test]
async fn who_writes_the_store_without_the_key_makes_no_token() {
    let folder = Folder::new();
    let tokens = tokens(&folder).await;
    let (token, shown) = tokens.create(wish(None, None), None).await.unwrap();
    // A secret of his own in a record of ours, and our signature below another name.
    let his = Written::random().unwrap();
    let text = tokens.text(&token.id);
    tokens.write(&his.id, text.replace(&token.digest.text(), &his.digest().text())).await;
    assert_eq!(tokens.known(&his.text(None)), Err(Refused::NotSigned(his.id.clone())));
    tokens.write(&his.id, text.clone()).await;
    let ours = format!("{PREFIX}{}.{}", his.id, shown.split_once('.').unwrap().1);
    assert_eq!(tokens.known(&ours), Err(Refused::NotSigned(his.id.clone())));
    // None, half of one, another key's.
    let signature = text.rsplit_once("\"signature\":\"").unwrap().1.trim_end_matches("\"}").to_owned();
    let without = text.replace(&format!(",\"signature\":\"{signature}\""), "");
    let other = Tokens::new(tokens.store.clone(), signer(8));
    for wrong in [without.clone(), text.replace(&signature, &signature[..32]), text.replace(&signature, ""), text.replace(&signature, "x")]
    {
        assert_ne!(wrong, text);
        tokens.write(&token.id, wrong.clone()).await;
        assert_eq!(tokens.known(&shown), Err(Refused::NotSigned(token.id.clone())), "{wrong}");
    }
    tokens.write(&token.id, without.replace('}', &format!(",\"signature\":\"{}\"}}", other.signer.sign(&token.id, &without)))).await;
    assert_eq!(other.known(&shown).unwrap().id, token.id);
    let told = tokens.known(&shown).unwrap_err().to_string();
    assert!(told.contains("is not signed with the key of this control plane") && told.contains("--token-key-file"), "{told}");
    assert!(tokens.revoke(&token.id).await.unwrap(), "what is not ours can be taken away");
    assert_eq!(tokens.known(&shown), Err(Refused::Unknown));
}
