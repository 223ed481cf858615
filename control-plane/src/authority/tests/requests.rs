use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::*;
use crate::authority::caller::{By, Caller};
use crate::authority::issuer::Later;
use crate::authority::verify;
use crate::model::identity::Verified;

#[tokio::test]
async fn who_shows_a_token_is_given_a_certificate_that_says_who_it_is() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (_, token) = world.token(None).await;
    let chain = authority.certify(&world.callers(), asked(&csr(), &token)).await.unwrap();
    let trust = authority.trust();
    assert_eq!((chain.len(), der(&chain[1])), (2, trust.current.der.clone()));
    assert!(is_good(&chain, &trust.roots));
    let verified = verify::read(&der(&chain[0]), "cluster.local").unwrap();
    assert_eq!(verified.identity.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
    assert!(verify::read(&der(&chain[0]), "other.example").is_err());
    let leaf = der(&chain[0]);
    let (_, read) = X509Certificate::from_der(&leaf).unwrap();
    assert!(!read.is_ca() && read.subject().iter().next().is_none());
    assert!(read.subject_alternative_name().unwrap().unwrap().critical, "there is no other name");
    let usage = read.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && usage.server_auth && !usage.any);
    let life = verified.not_after.duration_since(SystemTime::now()).unwrap();
    assert!(life <= TIMES.usual && life > TIMES.usual - Duration::from_secs(20), "{life:?}");
    assert_eq!(authority.counters.read().issued, [1, 0, 0]);
}

#[tokio::test]
async fn a_certificate_holds_as_long_as_is_asked_within_bounds() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (_, token) = world.token(None).await;
    for (seconds, wanted) in [(60, 60), (1, 10), (1_000_000, 7200), (i64::MAX, 7200)] {
        let csr = csr();
        let chain = authority.certify(&world.callers(), Asked { seconds, ..asked(&csr, &token) }).await.unwrap();
        let life = verify::read(&der(&chain[0]), "cluster.local").unwrap().not_after.duration_since(SystemTime::now()).unwrap();
        assert_eq!(life.as_secs_f64().ceil(), f64::from(wanted), "{seconds}");
    }
    let csr = csr();
    let refused = authority.certify(&world.callers(), Asked { seconds: -1, ..asked(&csr, &token) }).await;
    assert!(matches!(refused, Err(Refused::Invalid(_))));
}

#[tokio::test]
async fn who_proves_nothing_is_told_why() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (callers, csr) = (world.callers(), csr());
    let none = authority.certify(&callers, Asked { token: None, ..asked(&csr, "") }).await.unwrap_err();
    assert!(matches!(&none, Refused::Unauthenticated(why) if why.starts_with("nothing says who asks")), "{none}");
    let foreign = authority.certify(&callers, asked(&csr, "eyJhbGciOi")).await.unwrap_err();
    assert!(matches!(&foreign, Refused::Unauthenticated(why) if why.contains("not of a kind")), "{foreign}");
    let (id, token) = world.token(None).await;
    world.tokens().revoke(&id).await.unwrap();
    let revoked = authority.certify(&callers, asked(&csr, &token)).await.unwrap_err();
    assert!(matches!(&revoked, Refused::Unauthenticated(why) if why.contains("was revoked")), "{revoked}");
    assert_eq!(authority.counters.read().refused, [0, 3, 0, 0, 0]);
}

#[tokio::test]
async fn a_token_of_one_use_is_for_one_key() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (callers, (id, token)) = (world.callers(), world.token(Some(1)).await);
    let (first, second) = (csr(), csr());
    assert!(authority.certify(&callers, asked(&first, &token)).await.is_ok());
    assert!(authority.certify(&callers, asked(&first, &token)).await.is_ok(), "the answer may have been lost");
    let replayed = authority.certify(&callers, asked(&second, &token)).await.unwrap_err();
    assert!(matches!(&replayed, Refused::Denied(why) if why.starts_with("the token is used up")), "{replayed}");
    assert_eq!(world.tokens().get(&id).unwrap().used.len(), 1);
}

#[tokio::test]
async fn what_a_request_asks_for_is_not_what_it_gets() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (callers, (_, token)) = (world.callers(), world.token(Some(1)).await);
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![rcgen::SanType::URI("spiffe://cluster.local/ns/bank/sa/admin".try_into().unwrap())];
    let other = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    let refused = authority.certify(&callers, asked(&other, &token)).await.unwrap_err();
    assert!(matches!(&refused, Refused::Denied(why) if why.contains("spiffe://cluster.local/ns/bank/sa/admin")), "{refused}");
    let refused = authority.certify(&callers, asked("nonsense", &token)).await.unwrap_err();
    assert!(matches!(refused, Refused::Invalid(_)));
    assert!(authority.certify(&callers, asked(&csr(), &token)).await.is_ok(), "what was refused costs no use");
}

#[tokio::test]
async fn who_has_a_certificate_renews_it_without_a_token_until_it_expires() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (callers, (id, token)) = (world.callers(), world.token(Some(1)).await);
    let chain = authority.certify(&callers, asked(&csr(), &token)).await.unwrap();
    let shown = verify::read(&der(&chain[0]), "cluster.local").unwrap();
    let csr = csr();
    let by_certificate = Asked { token: None, shown: Some(&shown), ..asked(&csr, "") };
    let renewed = authority.certify(&callers, by_certificate).await.unwrap();
    let again = verify::read(&der(&renewed[0]), "cluster.local").unwrap();
    assert_eq!(again.identity, shown.identity);
    assert_ne!(again.serial, shown.serial);
    // With a token beside it that is over by now.
    world.tokens().revoke(&id).await.unwrap();
    assert!(authority.certify(&callers, Asked { token: Some(&token), ..by_certificate }).await.is_ok());
    // Or of another kind.
    assert!(authority.certify(&callers, Asked { token: Some("eyJhbGciOi"), ..by_certificate }).await.is_ok());
    let expired = Verified { not_after: SystemTime::now(), ..shown.clone() };
    let refused = authority.certify(&callers, Asked { shown: Some(&expired), ..by_certificate }).await.unwrap_err();
    assert!(matches!(&refused, Refused::Unauthenticated(why) if why.contains("expired at")), "{refused}");
    let bank = Verified { identity: Identity::new("cluster.local", "bank", "cart").unwrap(), ..shown.clone() };
    let (_, token) = world.token(None).await;
    let refused = authority.certify(&callers, Asked { token: Some(&token), shown: Some(&bank), ..by_certificate }).await.unwrap_err();
    assert!(matches!(refused, Refused::Denied(_)), "{refused}");
    assert_eq!(authority.counters.read().issued, [1, 0, 3]);
}

#[tokio::test]
async fn a_token_for_one_workload_gives_a_certificate_for_it() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (namespace, service_account) = ("shop".to_owned(), "cart".to_owned());
    let wish = Wish {
        namespace,
        service_account,
        workload: Some("cart-1".to_owned()),
        limits: Limits::default(),
        ttl: Duration::from_secs(60),
        uses: None,
    };
    let (_, token) = world.tokens().create(wish, None).await.unwrap();
    let chain = authority.certify(&world.callers(), asked(&csr(), &token)).await.unwrap();
    let shown = verify::read(&der(&chain[0]), "cluster.local").unwrap();
    assert_eq!(shown.workload.as_deref(), Some("cart-1"));
    let csr = csr();
    let renewed = authority.certify(&world.callers(), Asked { token: None, shown: Some(&shown), ..asked(&csr, "") }).await.unwrap();
    assert_eq!(verify::read(&der(&renewed[0]), "cluster.local").unwrap().workload.as_deref(), Some("cart-1"), "so does what follows");
}

#[tokio::test]
async fn nobody_is_given_the_control_planes_identity() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let shown = Verified {
        identity: Identity::control_plane("cluster.local"),
        workload: None,
        limits: Limits::default(),
        serial: "01".to_owned(),
        not_before: SystemTime::now(),
        not_after: SystemTime::now() + Duration::from_secs(60),
    };
    let csr = csr();
    let refused = authority.certify(&[], Asked { token: None, shown: Some(&shown), ..asked(&csr, "") }).await.unwrap_err();
    assert!(matches!(refused, Refused::Denied(_)), "{refused}");
}

#[tokio::test]
async fn who_tries_again_and_again_has_to_wait() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (callers, csr, from) = (world.callers(), csr(), "192.0.2.1".parse().ok());
    for _ in 0..100 {
        let refused = authority.certify(&callers, Asked { from, ..asked(&csr, "ninon-join-x") }).await.unwrap_err();
        assert!(matches!(refused, Refused::Unauthenticated(_)));
    }
    let refused = authority.certify(&callers, Asked { from, ..asked(&csr, "ninon-join-x") }).await.unwrap_err();
    assert!(matches!(refused, Refused::Exhausted(_)), "{refused}");
    let elsewhere = "192.0.2.2".parse().ok();
    let refused = authority.certify(&callers, Asked { from: elsewhere, ..asked(&csr, "ninon-join-x") }).await.unwrap_err();
    assert!(matches!(refused, Refused::Unauthenticated(_)), "{refused}");
    let (_, token) = world.token(None).await;
    assert!(
        authority.certify(&callers, Asked { from, ..asked(&csr, &token) }).await.is_ok(),
        "who shows who he is does not wait for others"
    );
}

/// Knows everybody by asking somebody who is slow, and counts how often.
#[derive(Default)]
struct Slow(AtomicUsize, Notify);

impl Authenticator for Arc<Slow> {
    fn knows(&self, shown: &str) -> bool {
        shown.starts_with("eyJ")
    }

    fn asks_others(&self) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, shown: &'a str, trust_domain: &'a str) -> Later<'a, Result<Caller, Refused>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if shown == "eyJ.slow" {
                self.1.notified().await;
            }
            if shown != "eyJ.good" {
                return Err(Refused::Unauthenticated("nobody".to_owned()));
            }
            let identity = Identity::new(trust_domain, "shop", "cart").unwrap();
            Ok(Caller { identity, workload: None, limits: Limits::default(), by: By::ServiceAccount("shop/cart".to_owned()), shown: None })
        })
    }

    fn take<'a>(&'a self, _: &'a Caller, _: &'a str) -> Later<'a, Result<(), Refused>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_does_not_make_others_be_asked_as_often_as_he_likes() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (slow, csr, host) = (Arc::new(Slow::default()), csr(), |text: &str| text.parse().ok());
    let callers: [Box<dyn Authenticator>; 1] = [Box::new(Arc::clone(&slow))];
    let asks = |token: &'static str, from: &str| authority.certify(&callers, Asked { from: host(from), ..asked(&csr, token) });
    // Those who show who they are, as often as they like.
    for _ in 0..150 {
        asks("eyJ.good", "192.0.2.1").await.unwrap();
    }
    // Before anybody has been refused, all the same; and wherever in his network he is.
    let mut waiting = Vec::new();
    let mut refused = 0;
    for address in 0..150 {
        let mut asking = Box::pin(asks("eyJ.slow", &format!("2001:db8::{address:x}")));
        match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(Refused::Exhausted(why))) => {
                assert!(why.contains("could not show who they are"), "{why}");
                refused += 1;
            }
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => waiting.push(asking),
        }
    }
    assert_eq!((waiting.len(), refused, slow.0.load(Ordering::Relaxed)), (100, 50, 250));
    // Others are asked about meanwhile, and in the end there are no more at a time than so many.
    for network in 1..=20 {
        for _ in 0..100 {
            let mut asking = Box::pin(asks("eyJ.slow", &format!("2001:db8:{network:x}::1")));
            if asking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                waiting.push(asking);
            }
        }
    }
    assert_eq!(waiting.len(), 512);
    let busy = asks("eyJ.good", "192.0.2.1").await.unwrap_err();
    assert!(matches!(&busy, Refused::Exhausted(why) if why.contains("too many callers are being asked about")), "{busy}");
    drop(waiting);
    asks("eyJ.good", "192.0.2.1").await.unwrap();
    assert_eq!(authority.counters.read().issued, [0, 151, 0]);
}

#[tokio::test]
async fn nobody_is_asked_about_who_shows_a_certificate() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (slow, csr) = (Arc::new(Slow::default()), csr());
    let callers: [Box<dyn Authenticator>; 2] = [Box::new(world.tokens()), Box::new(Arc::clone(&slow))];
    let (_, token) = world.token(None).await;
    let chain = authority.certify(&callers, asked(&csr, &token)).await.unwrap();
    let shown = verify::read(&der(&chain[0]), "cluster.local").unwrap();
    authority.certify(&callers, Asked { shown: Some(&shown), ..asked(&csr, "eyJ.bad") }).await.unwrap();
    assert_eq!(slow.0.load(Ordering::Relaxed), 0);
}
