use std::fs;

use rcgen::{BasicConstraints, IsCa, Issuer as Signer, KeyUsagePurpose};

use super::*;
use crate::authority::issuer::{Issued, Issuer, Later, Order};
use crate::authority::trust::Rotation;

#[tokio::test]
async fn a_root_is_made_once_and_kept_encrypted() {
    let world = World::new().await;
    let first = world.open().await.unwrap().trust();
    let second = world.open().await.unwrap().trust();
    assert_eq!(first.current, second.current);
    let kept = world.store.records().get(Shelf::Authority, RECORD).unwrap();
    assert!(!kept.text.contains("PRIVATE"));
    // Who has another key file is told so.
    let key = world.folder.path().join("ca.key");
    let good = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let missing = world.open().await.unwrap_err();
    assert!(missing.contains("a key file that is not here") && !key.exists(), "{missing}");
    fs::write(&key, "00".repeat(32)).unwrap();
    let wrong = world.open().await.unwrap_err();
    assert!(wrong.starts_with("the authority's key in the store was encrypted with another key file"), "{wrong}");
    fs::write(&key, good).unwrap();
    assert_eq!(world.open().await.unwrap().trust().current, first.current);
    let origin = Origin::Made(key);
    let other = Authority::open("other.example".into(), TIMES, origin, &world.store).await.unwrap_err();
    assert!(other.contains("is of trust domain \"cluster.local\""), "{other}");
}

/// An authority of files: its root, and one below it.
struct Made {
    root: CertificateDer<'static>,
    below: String,
    key: String,
}

fn made() -> Made {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
    };
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let name = format!("{:x}", fastrand::u64(..));
    let root = authority(&name).self_signed(&root_key).unwrap();
    let below = authority("below").signed_by(&key, &Signer::new(authority(&name), root_key)).unwrap();
    Made { root: root.der().clone(), below: below.pem(), key: key.serialize_pem() }
}

fn files(world: &World) -> Files {
    let path = |name: &str| world.folder.path().join(name);
    Files { certificate: path("certificate.pem"), key: path("key.pem"), roots: path("roots.pem") }
}

fn write(files: &Files, made: &Made, roots: &[&Made]) {
    fs::write(&files.certificate, &made.below).unwrap();
    fs::write(&files.key, &made.key).unwrap();
    let roots: String = roots.iter().map(|made| text::pem("CERTIFICATE", &made.root)).collect();
    fs::write(&files.roots, roots).unwrap();
}

#[tokio::test]
async fn a_given_authority_follows_its_files_and_outlives_bad_ones() {
    let world = World::new().await;
    let (files, one, other) = (files(&world), made(), made());
    write(&files, &one, &[&one]);
    let origin = Origin::Given(files.clone());
    let authority = Authority::open("cluster.local".into(), TIMES, origin, &world.store).await.unwrap();
    let (_, token) = world.token(None).await;
    let chain = authority.certify(&world.callers(), asked(&csr(), &token)).await.unwrap();
    assert_eq!((chain.len(), der(&chain[1]), der(&chain[2])), (3, der(&one.below), one.root.clone()));
    assert!(is_good(&chain, &authority.trust().roots));
    assert!(matches!(authority.rotate().await, Err(NotNow::Conflict(_))));

    let look = async || match &authority.source {
        Source::Given { files, content } => authority.look(files, content).await,
        Source::Made { .. } | Source::Outside => panic!("it is given"),
    };
    let changes = authority.changes();
    // The key of another one.
    write(&files, &other, &[&one, &other]);
    fs::write(&files.key, &one.key).unwrap();
    look().await;
    assert!(authority.fault().unwrap().ends_with("it is not the key of the certificate"));
    assert_eq!(
        (authority.trust().current.der.clone(), changes.has_changed().unwrap()),
        (one.root.clone(), false),
        "the last good one stays"
    );
    fs::write(&files.key, &other.key).unwrap();
    look().await;
    assert_eq!((authority.fault(), changes.has_changed().unwrap()), (None, true));
    assert_eq!((authority.trust().current.der.clone(), authority.trust().roots.len()), (other.root.clone(), 2));
    fs::remove_file(&files.roots).unwrap();
    look().await;
    assert!(authority.fault().unwrap().contains("roots.pem: No such file"));
    write(&files, &other, &[&one, &other]);
    look().await;
    assert_eq!(authority.fault(), None, "as it was before");
}

#[tokio::test]
async fn files_that_do_not_belong_together_are_refused() {
    let world = World::new().await;
    let (files, one, other) = (files(&world), made(), made());
    let open = async || {
        let origin = Origin::Given(files.clone());
        Authority::open("cluster.local".into(), TIMES, origin, &world.store).await.unwrap_err()
    };
    assert!(open().await.contains("certificate.pem: No such file"));
    write(&files, &one, &[&other]);
    assert!(open().await.ends_with("none of these has signed the certificate"));
    write(&files, &one, &[]);
    assert!(open().await.ends_with("there are no certificates in PEM"));
    write(&files, &one, &[&one]);
    let leaf = CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    fs::write(&files.certificate, leaf).unwrap();
    assert!(open().await.contains("is not that of an authority"));
}

/// Somebody else's authority.
#[derive(Debug)]
struct Elsewhere(Arc<dyn Issuer>);

impl Issuer for Elsewhere {
    fn issue<'a>(&'a self, order: &'a Order) -> Later<'a, Result<Issued, String>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            if *order.identity.namespace == *"closed" { Err("it is closed".to_owned()) } else { self.0.issue(order).await }
        })
    }
}

#[tokio::test]
async fn another_programs_authority_can_be_the_one() {
    let world = World::new().await;
    let own = world.open().await.unwrap().trust();
    let rotation = Rotation { step: Step::Steady, since: SystemTime::now(), until: None };
    let trust = Trust { issuer: Arc::new(Elsewhere(Arc::clone(&own.issuer))), rotation, ..Trust::clone(&own) };
    let authority = Authority::outside("cluster.local".into(), TIMES, trust, &world.store);
    let (_, token) = world.token(None).await;
    let chain = authority.certify(&world.callers(), asked(&csr(), &token)).await.unwrap();
    assert!(is_good(&chain, &own.roots));
    let (service_account, ttl) = ("cart".to_owned(), Duration::from_secs(60));
    let wish = Wish { namespace: "closed".to_owned(), service_account, workload: None, limits: Limits::default(), ttl, uses: None };
    let (_, token) = world.tokens().create(wish, None).await.unwrap();
    let refused = authority.certify(&world.callers(), asked(&csr(), &token)).await.unwrap_err();
    assert_eq!(refused, Refused::Unavailable("it is closed".to_owned()));
}
