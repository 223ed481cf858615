use rustls::RootCertStore;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::WebPkiClientVerifier;

use super::*;
use crate::authority::revocation::{NotRevoked, Reason, Whose, serial};
use crate::authority::verify;
use crate::model::identity::Verified;

struct Given {
    chain: Vec<String>,
    says: Verified,
}

async fn given(world: &World, authority: &Authority) -> Given {
    let (_, token) = world.token(None).await;
    let chain = authority.certify(&world.callers(), asked(&csr(), &token)).await.unwrap();
    let says = verify::read(&der(&chain[0]), "cluster.local").unwrap();
    Given { chain, says }
}

/// What becomes of one who renews.
async fn renewed(authority: &Authority, shown: &Verified) -> Result<Vec<String>, Refused> {
    authority.certify(&[], Asked { token: None, shown: Some(shown), ..asked(&csr(), "") }).await
}

/// Whether proxies that are sent the lists of a moment take a chain.
fn is_taken(authority: &Authority, chain: &[String]) -> Result<(), rustls::Error> {
    let trust = authority.trust();
    let lists = authority.lists(&trust, SystemTime::now()).pem.unwrap_or_default();
    let lists = CertificateRevocationListDer::pem_slice_iter(lists.as_bytes()).map(Result::unwrap);
    let mut roots = RootCertStore::empty();
    trust.roots.iter().for_each(|root| roots.add(root.der.clone()).unwrap());
    roots.roots.iter_mut().for_each(|anchor| anchor.name_constraints = None);
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), server::provider());
    let verifier = verifier.with_crls(lists).enforce_revocation_expiration().build().unwrap();
    let chain: Vec<_> = chain.iter().map(|pem| der(pem)).collect();
    verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).map(drop)
}

const REVOKED: Result<(), rustls::Error> = Err(rustls::Error::InvalidCertificate(rustls::CertificateError::Revoked));

#[tokio::test]
async fn a_revoked_certificate_is_refused_here_and_by_proxies_and_others_are_not() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (stolen, other) = (given(&world, &authority).await, given(&world, &authority).await);
    assert_eq!(authority.lists(&authority.trust(), SystemTime::now()).pem, None, "nobody is sent an empty list");
    let colons = stolen
        .says
        .serial
        .to_ascii_uppercase()
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .collect::<Vec<_>>();
    let number = serial(&colons.join(":")).unwrap();
    let now = SystemTime::now();
    let revoked = authority.revoke(Whose::Certificate(number, None), Reason::KeyCompromise, now).await.unwrap();
    assert_eq!((revoked.identity(), revoked.until), (Some(&stolen.says.identity), stolen.says.not_after));
    let again = authority.revoke(revoked.whose.clone(), Reason::Superseded, now).await.unwrap();
    assert_eq!(again.reason, Reason::KeyCompromise, "it stays as it is");
    let refused = renewed(&authority, &stolen.says).await.unwrap_err();
    assert!(matches!(&refused, Refused::Denied(why) if why.contains("was revoked at") && why.contains("key-compromise")), "{refused}");
    assert!(renewed(&authority, &other.says).await.is_ok());
    assert_eq!((is_taken(&authority, &stolen.chain), is_taken(&authority, &other.chain)), (REVOKED, Ok(())));
    assert_eq!(authority.counters.read().revoked, 1);
    // Another control plane, or this one after a restart.
    let replica = world.open().await.unwrap();
    assert!(replica.refuses(&stolen.says).is_some() && replica.refuses(&other.says).is_none());
    // With a token it has another one.
    assert!(replica.refuses(&given(&world, &replica).await.says).is_none());

    assert_eq!(authority.restore(&revoked.id()).await.unwrap(), Some(revoked.clone()));
    assert_eq!((authority.restore(&revoked.id()).await.unwrap(), is_taken(&authority, &stolen.chain)), (None, Ok(())));
}

#[tokio::test]
async fn what_an_account_had_is_revoked_and_what_it_is_given_later_is_good() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (first, identity) = (given(&world, &authority).await, Identity::new("cluster.local", "shop", "cart").unwrap());
    let revoke = async || authority.revoke(Whose::Account(identity.clone()), Reason::Unspecified, SystemTime::now()).await.unwrap();
    let revoked = revoke().await;
    assert_eq!(revoked.id(), "shop:cart");
    let refused = renewed(&authority, &first.says).await.unwrap_err();
    assert!(matches!(&refused, Refused::Denied(why) if why.starts_with("all certificates of spiffe://cluster.local/ns/shop/sa/cart")));
    // A moment later, and within the time by which certificates are dated back.
    let second = given(&world, &authority).await;
    assert!(second.says.not_before >= revoked.since);
    let next = renewed(&authority, &second.says).await.unwrap();
    assert_eq!([&first.chain, &second.chain, &next].map(|chain| is_taken(&authority, chain)), [REVOKED, Ok(()), Ok(())]);
    // In the same second once more.
    let later = revoke().await;
    assert!(later.since > revoked.since);
    assert!(authority.refuses(&second.says).is_some());
    assert_eq!([&first.chain, &second.chain, &next].map(|chain| is_taken(&authority, chain)), [REVOKED, REVOKED, REVOKED]);
    let bank = Verified { identity: Identity::new("cluster.local", "bank", "cart").unwrap(), ..first.says.clone() };
    assert_eq!(authority.refuses(&bank), None);
    let own = authority.revoke(Whose::Account(Identity::control_plane("cluster.local")), Reason::Unspecified, SystemTime::now()).await;
    assert!(matches!(own, Err(NotRevoked::Invalid(_))));
}

#[tokio::test]
async fn lists_are_of_all_roots_are_signed_anew_in_time_and_end_with_what_is_on_them() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (stolen, now) = (given(&world, &authority).await, SystemTime::now());
    authority.revoke(Whose::Certificate(stolen.says.serial.clone(), None), Reason::Unspecified, now).await.unwrap();
    authority.rotate().await.unwrap();
    let good = given(&world, &authority).await;
    assert_eq!((is_taken(&authority, &stolen.chain), is_taken(&authority, &good.chain)), (REVOKED, Ok(())));
    let new = authority.trust().to_be_known().unwrap().to_owned();
    assert_eq!(authority.confirm(&new, "me", &["me".to_owned()]).await, Ok(Vec::new()));
    assert_eq!(authority.advance(&new, SystemTime::now()).await, Ok(Looked::Done));
    let newer = given(&world, &authority).await;
    assert_eq!([&stolen.chain, &good.chain, &newer.chain].map(|chain| is_taken(&authority, chain)), [REVOKED, Ok(()), Ok(())]);
    let lists = authority.lists(&authority.trust(), now);
    assert_eq!(lists.pem.unwrap().matches("BEGIN X509 CRL").count(), 2);
    let again = lists.again.unwrap().duration_since(now).unwrap();
    assert!(again > TIMES.longest && again < Duration::from_secs(4 * 86_400), "{again:?}");
    // When it holds no more, nothing is kept of it.
    let after = stolen.says.not_after + Duration::from_secs(1);
    assert_eq!(authority.lists(&authority.trust(), after).pem, None);
    assert_eq!((world.store.records().count(Shelf::Revocations), world.store.records().count(Shelf::Issued)), (1, 3));
    authority.forget_expired(after + TIMES.usual).await.unwrap();
    assert_eq!((world.store.records().count(Shelf::Revocations), world.store.records().count(Shelf::Issued)), (0, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_taken_for_revoked() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let shown = given(&world, &authority).await.says;
    for key in [shown.serial.clone(), "shop:cart".to_owned()] {
        let put =
            |text: Option<&str>| Put { shelf: Shelf::Revocations, key: key.clone(), text: text.map(ToOwned::to_owned), expected: None };
        world.store.keep(vec![put(Some("{}"))]).await.unwrap();
        assert!(authority.refuses(&shown).is_some(), "{key}");
        world.store.keep(vec![put(None)]).await.unwrap();
        assert_eq!(authority.refuses(&shown), None);
    }
}

#[test]
fn a_number_is_what_openssl_prints_and_nothing_else() {
    for (text, number) in [("4A:0b", "4a0b"), ("00ff", "ff"), ("f", "0f"), (&"9".repeat(40), &"9".repeat(40))] {
        assert_eq!(serial(text).as_deref(), Ok(number));
    }
    assert!(["", "00", "x", "-1", &"9".repeat(42)].iter().all(|wrong| serial(wrong).is_err()));
}
