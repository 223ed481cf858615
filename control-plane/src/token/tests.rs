use super::*;
use crate::store::Limits as Room;
use crate::store::embedded::tests::Folder;

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

async fn tokens(folder: &Folder) -> Tokens {
    Tokens::new(Store::embedded(folder.path(), Room::default()).await.unwrap())
}

#[tokio::test]
async fn a_token_is_known_by_its_secret_and_kept_without_it() {
    let folder = Folder::new();
    let (token, shown) = {
        let tokens = tokens(&folder).await;
        let made = tokens.create(wish(None, None), None).await.unwrap();
        assert_eq!(tokens.list().len(), 1);
        tokens.0.close().await;
        made
    };
    let tokens = tokens(&folder).await;
    assert_eq!(tokens.known(&shown).unwrap().id, token.id);
    let secret = shown.split_once('.').unwrap().1.to_owned();
    let kept = tokens.0.records().get(Shelf::Tokens, &token.id).unwrap();
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
    let kept = tokens.0.records().get(Shelf::Tokens, &any.id).unwrap();
    assert!(!kept.text.contains("labels"), "written as ever: {}", kept.text);
    assert!(tokens.get(&any.id).unwrap().limits.is_none());
}
