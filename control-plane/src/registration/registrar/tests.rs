use serde_json::{Value, json};

use super::*;
use crate::keyfile::Key;
use crate::model::identity::Identity;
use crate::model::limits::Limits;
use crate::store::Limits as Room;
use crate::store::embedded::tests::Folder;
use crate::store::records::Put;
use crate::task::OwnedTask;
use crate::token::{Signer, Token, Wish};

/// Far more than anything takes on a crowded machine.
const LIMIT: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(20);

/// What the mesh was told, in order.
type Changes = Vec<(Name, Option<Condition>)>;

/// A registrar that runs.
struct Running {
    registrar: Arc<Registrar>,
    told: Arc<Mutex<Changes>>,
    _stop: watch::Sender<bool>,
    _task: OwnedTask,
}

fn tokens(store: &Store) -> Tokens {
    Tokens::new(store.clone(), Signer::new(&Key::new([7; 32])))
}

async fn running(folder: &Folder, times: Times) -> Running {
    let store = Store::embedded(folder.path(), Room::default()).await.unwrap();
    let told: Arc<Mutex<Changes>> = Arc::default();
    let hear = Arc::clone(&told);
    let tell = move |changes: Vec<(Name, Option<Workload>)>| {
        let changes = changes.into_iter().map(|(name, workload)| (name, workload.map(|workload| workload.condition)));
        hear.lock().unwrap().extend(changes);
    };
    let registrar = Registrar::new(store.clone(), tokens(&store), times, 2, Box::new(tell));
    let (stop, stopped) = watch::channel(false);
    let task = OwnedTask::spawn(Arc::clone(&registrar).run(stopped));
    Running { registrar, told, _stop: stop, _task: task }
}

fn times(grace: Duration, drain: Duration) -> Times {
    Times { grace, drain, orphan: LONG }
}

fn name(name: &str) -> Name {
    Name::new("shop", name)
}

fn node(workload: &str, more: Value) -> Node {
    let mut metadata = json!({"NAMESPACE": "shop", "WORKLOAD_NAME": workload, "LABELS": {"app": "cart"}});
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Node { id: "x".to_owned(), metadata: metadata.as_object().cloned().unwrap(), address: "10.0.0.7:99".parse().ok(), ..Node::default() }
}

impl Running {
    async fn token(&self, workload: Option<&str>) -> (Token, String) {
        let (namespace, service_account) = ("shop".to_owned(), "cart".to_owned());
        let workload = workload.map(ToOwned::to_owned);
        self.registrar
            .tokens
            .create(Wish { namespace, service_account, workload, limits: Limits::default(), ttl: LONG, uses: None }, None)
            .await
            .unwrap()
    }

    async fn admit(&self, node: &Node, shown: &str) -> Result<Registered, Denial> {
        self.registrar.admit(node, Proof::Token(shown)).await
    }

    async fn until(&self, workload: &str, state: Option<State>) {
        let name = name(workload);
        let mut told = self.registrar.told.subscribe();
        let is = |told: &Arc<Kept>| told.get(&name).map(|(record, _)| record.state) == state;
        timeout(LIMIT, told.wait_for(is)).await.unwrap_or_else(|_| panic!("{workload} is to be {state:?}")).unwrap();
    }
}

#[tokio::test]
async fn a_workload_is_there_while_its_stream_lives_and_some_time_more() {
    let folder = Folder::new();
    let running = running(&folder, times(SHORT, SHORT)).await;
    let (_, shown) = running.token(None).await;
    let registered = running.admit(&node("cart-1", json!({})), &shown).await.unwrap();
    running.until("cart-1", Some(State::Joining)).await;
    registered.serves();
    running.until("cart-1", Some(State::Serving)).await;
    drop(registered);
    running.until("cart-1", None).await;
    let seen: Vec<_> = running.told.lock().unwrap().iter().map(|(_, condition)| *condition).collect();
    assert_eq!(seen, [Some(Condition::NotReady), Some(Condition::Ready), Some(Condition::Draining), None]);
}

#[tokio::test]
async fn goodbye_drains_at_once_and_waits_for_its_end() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, SHORT)).await;
    let (_, shown) = running.token(None).await;
    let registered = running.admit(&node("cart-1", json!({})), &shown).await.unwrap();
    registered.serves();
    running.until("cart-1", Some(State::Serving)).await;
    registered.goodbye().await;
    running.until("cart-1", None).await;
    assert!(running.told.lock().unwrap().contains(&(name("cart-1"), Some(Condition::Draining))));
}

#[tokio::test]
async fn whom_a_token_is_not_for_is_told_which_rule_says_so() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, LONG)).await;
    let (token, shown) = running.token(Some("cart-1")).await;
    let words = async |node: Node, shown: &str| running.admit(&node, shown).await.unwrap_err();
    let id = &token.id;
    let bad = words(node("cart-1", json!({})), "ninon-join-0").await;
    assert_eq!(bad, Denial::Unauthenticated("the token is not known here: it was never made, or was revoked".to_owned()));
    let malformed = words(node("cart-1", json!({"PORTS": [{"port": 0}]})), &shown).await;
    assert!(matches!(&malformed, Denial::Invalid(words) if words.starts_with("the node's metadata: PORTS[0].port: ")), "{malformed:?}");
    let other = words(node("cart-2", json!({})), &shown).await;
    let rule = format!("the token {id} is for workload \"cart-1\", and this is workload \"cart-2\"");
    assert_eq!(other, Denial::Denied(rule));
    let bank = words(node("cart-1", json!({"NAMESPACE": "bank"})), &shown).await;
    let rule = format!("the token {id} is for namespace \"shop\", and this is namespace \"bank\"");
    assert_eq!(bank, Denial::Denied(rule));
    let admin = words(node("cart-1", json!({"SERVICE_ACCOUNT": "admin"})), &shown).await;
    let rule = format!("the token {id} is for service account \"cart\", and this is service account \"admin\"");
    assert_eq!(admin, Denial::Denied(rule));
    assert_eq!(running.registrar.registered().len(), 0);
}

#[tokio::test]
async fn nobody_takes_the_name_of_another_account() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, LONG)).await;
    let (_, shown) = running.token(None).await;
    let _registered = running.admit(&node("cart-1", json!({})), &shown).await.unwrap();
    let wish = Wish {
        namespace: "shop".to_owned(),
        service_account: "web".to_owned(),
        workload: None,
        limits: Limits::default(),
        ttl: LONG,
        uses: None,
    };
    let (_, other) = running.registrar.tokens.create(wish, None).await.unwrap();
    let denied = running.admit(&node("cart-1", json!({})), &other).await.unwrap_err();
    assert_eq!(denied, Denial::Denied("the workload shop/cart-1 is registered, for service account \"cart\"".to_owned()));
}

#[tokio::test]
async fn there_are_no_more_than_may_be() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, LONG)).await;
    let (_, shown) = running.token(None).await;
    let _first = running.admit(&node("cart-1", json!({})), &shown).await.unwrap();
    let _second = running.admit(&node("cart-2", json!({})), &shown).await.unwrap();
    let denied = running.admit(&node("cart-3", json!({})), &shown).await.unwrap_err();
    assert_eq!(denied, Denial::Unavailable("as many workloads are registered as may be, 2".to_owned()));
    running.admit(&node("cart-2", json!({})), &shown).await.unwrap();
}

#[tokio::test]
async fn a_token_that_expires_sends_nobody_away_and_lets_nobody_in() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, LONG)).await;
    let (token, shown) = running.token(None).await;
    drop(running.admit(&node("cart-1", json!({})), &shown).await.unwrap());
    running.registrar.tokens.expire(&token.id).await;
    let expired = Denial::Unauthenticated("the token expired at 2020-01-01T00:00:00Z".to_owned());
    assert_eq!(running.admit(&node("cart-2", json!({})), &shown).await.unwrap_err(), expired);
    let moved = node("cart-1", json!({"ADDRESSES": ["10.0.0.8"]}));
    assert_eq!(running.admit(&moved, &shown).await.unwrap_err(), expired, "it would be another one");
    running.admit(&node("cart-1", json!({})), &shown).await.unwrap();
}

#[tokio::test]
async fn who_came_by_a_token_goes_with_it() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, SHORT)).await;
    let (token, shown) = running.token(None).await;
    let registered = running.admit(&node("cart-1", json!({})), &shown).await.unwrap();
    registered.serves();
    running.until("cart-1", Some(State::Serving)).await;
    running.registrar.tokens.revoke(&token.id).await.unwrap();
    let why = timeout(LIMIT, registered.expelled()).await.unwrap();
    assert_eq!(why, Denial::Unauthenticated(format!("the token {} was revoked", token.id)));
    running.until("cart-1", None).await;
    assert!(matches!(running.admit(&node("cart-1", json!({})), &shown).await, Err(Denial::Unauthenticated(_))));
}

#[tokio::test]
async fn who_came_by_a_token_that_somebody_else_has_written_goes_too() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, SHORT)).await;
    let (token, shown) = running.token(None).await;
    let registered = running.admit(&node("cart-1", json!({})), &shown).await.unwrap();
    // Revoked, and put back by who can write the store, at once.
    let put = Put { shelf: Shelf::Tokens, key: token.id.clone(), text: Some("{}".to_owned()), expected: None };
    running.registrar.store.keep(vec![put]).await.unwrap();
    let why = timeout(LIMIT, registered.expelled()).await.unwrap();
    let told = format!("the record of the token {} is not signed with the key of this control plane", token.id);
    assert!(matches!(&why, Denial::Unauthenticated(why) if why.starts_with(&told)), "{why:?}");
    running.until("cart-1", None).await;
}

#[tokio::test]
async fn what_was_registered_is_there_after_a_restart() {
    let folder = Folder::new();
    {
        let running = running(&folder, times(LONG, LONG)).await;
        let (_, shown) = running.token(None).await;
        let registered = running.admit(&node("cart-1", json!({})), &shown).await.unwrap();
        registered.serves();
        running.until("cart-1", Some(State::Serving)).await;
        running.registrar.store.close().await;
    }
    let store = Store::embedded(folder.path(), Room::default()).await.unwrap();
    let told: Arc<Mutex<Vec<Name>>> = Arc::default();
    let hear = Arc::clone(&told);
    let tell = move |changes: Vec<(Name, Option<Workload>)>| hear.lock().unwrap().extend(changes.into_iter().map(|(name, _)| name));
    let registrar = Registrar::new(store.clone(), tokens(&store), Times { grace: LONG, drain: SHORT, orphan: SHORT }, 2, Box::new(tell));
    assert_eq!(*told.lock().unwrap(), [name("cart-1")], "at once");
    let (_stop, stopped) = watch::channel(false);
    let _task = OwnedTask::spawn(Arc::clone(&registrar).run(stopped));
    let mut told = registrar.told.subscribe();
    timeout(LIMIT, told.wait_for(|told| told.is_empty())).await.expect("nobody came back").unwrap();
}

fn limits(text: &str) -> Limits {
    Limits::new(text.split(',').filter_map(|label| label.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
        .unwrap()
}

/// By a certificate that is limited so.
fn verified(text: &str) -> Verified {
    Verified {
        identity: Identity::new("cluster.local", "shop", "cart").unwrap(),
        workload: None,
        limits: limits(text),
        serial: "0a".to_owned(),
        not_before: SystemTime::now(),
        not_after: SystemTime::now() + LONG,
    }
}

#[tokio::test]
async fn a_limited_workload_has_the_labels_of_its_token_or_certificate_and_no_others() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, LONG)).await;
    let (namespace, service_account) = ("shop".to_owned(), "cart".to_owned());
    let wish = Wish { namespace, service_account, workload: None, limits: limits("app=cart,version=*"), ttl: LONG, uses: None };
    let (token, shown) = running.registrar.tokens.create(wish, None).await.unwrap();
    let certificate = verified("app=cart,version=*");
    for (proof, name) in [
        (Proof::Token(&shown), format!("the token {}", token.id)),
        (Proof::Certificate(&certificate, None), "the certificate 0a".to_owned()),
    ] {
        let words = async |labels: Value| match running.registrar.admit(&node("cart-1", json!({"LABELS": labels})), proof).await {
            Ok(registered) => running.registrar.registered()[registered.name()].0.object["metadata"]["labels"].to_string(),
            Err(Denial::Denied(words)) => words,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(words(json!({})).await, r#"{"app":"cart"}"#, "{name}");
        assert_eq!(words(json!({"version": "2"})).await, r#"{"app":"cart","version":"2"}"#);
        let rule = format!("{name} does not allow what LABELS says: the label \"app\" has to be \"cart\", and is \"bank\"");
        assert_eq!(words(json!({"app": "bank"})).await, rule);
        let rule =
            format!("{name} does not allow what LABELS says: the label \"tier\" is not among those that are allowed: app=cart,version=*");
        assert_eq!(words(json!({"tier": "db"})).await, rule);
    }
    // Beside a certificate that may say anything, the token still holds.
    let any = verified("");
    let beside = running.registrar.admit(&node("cart-1", json!({"LABELS": {"app": "bank"}})), Proof::Certificate(&any, Some(&shown))).await;
    assert!(matches!(beside, Err(Denial::Denied(words)) if words.starts_with(&format!("the token {}", token.id))));
}

#[tokio::test]
async fn a_limited_workload_takes_the_name_of_none_that_it_may_not_be() {
    let folder = Folder::new();
    let running = running(&folder, times(LONG, LONG)).await;
    let (bank, cart) = (verified("app=bank"), verified("app=cart"));
    let admit = |verified| {
        let registrar = &running.registrar;
        async move { registrar.admit(&node("bank-1", json!({"LABELS": {}})), Proof::Certificate(verified, None)).await }
    };
    let victim = admit(&bank).await.unwrap();
    let why = admit(&cart).await.unwrap_err();
    let rule = "the workload shop/bank-1 is registered, as somebody that this one may not be: the label \"app\" has to be \"cart\", and is \"bank\"";
    assert_eq!(why, Denial::Denied(rule.to_owned()));
    victim.serves();
    running.until("bank-1", Some(State::Serving)).await;
    assert!(admit(&bank).await.is_ok(), "its own sidecar comes back");
}
