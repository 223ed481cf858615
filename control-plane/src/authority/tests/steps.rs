use super::*;

async fn chain(world: &World, authority: &Authority) -> Vec<String> {
    let (_, token) = world.token(None).await;
    authority.certify(&world.callers(), asked(&csr(), &token)).await.unwrap()
}

#[tokio::test]
async fn a_root_is_replaced_without_anybody_losing_trust() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let before = authority.trust();
    let first = chain(&world, &authority).await;
    assert_eq!(authority.trust().to_be_known(), None);

    authority.rotate().await.unwrap();
    let both = authority.trust();
    assert_eq!((both.rotation.step, both.roots.len(), &both.current), (Step::Distributing, 2, &before.current));
    let new = authority.trust().to_be_known().unwrap().to_owned();
    assert_eq!(authority.rotate().await, Err(NotNow::Conflict("a rotation is under way".to_owned())));
    assert!(is_good(&chain(&world, &authority).await, &before.roots));

    // Another control plane has proxies that do not know it yet.
    let all = ["me".to_owned(), "other".to_owned()];
    assert_eq!(authority.confirm(&new, "me", &all).await, Ok(vec!["other".to_owned()]));
    assert_eq!(authority.confirm(&new, "other", &all).await, Ok(Vec::new()));
    assert_eq!(authority.trust().rotation.step, Step::Distributing);
    assert_eq!(authority.advance("another root", SystemTime::now()).await, Ok(Looked::Nothing));
    assert_eq!(authority.advance(&new, SystemTime::now()).await, Ok(Looked::Done));
    let issuing = authority.trust();
    assert_eq!((issuing.rotation.step, issuing.roots.len(), &issuing.current.fingerprint), (Step::Issuing, 2, &new));
    let second = chain(&world, &authority).await;
    for roots in [&before.roots[..], &issuing.roots[..], &issuing.roots[1..]] {
        assert!(is_good(&second, roots), "who knows only one of both verifies it, too");
    }
    assert!(is_good(&first, &issuing.roots));
    assert_eq!(authority.advance(&new, SystemTime::now()).await, Ok(Looked::Nothing), "what the old one has signed still holds");
    let until = issuing.rotation.until.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(until > TIMES.longest && until < TIMES.longest + Duration::from_secs(20), "{until:?}");
}

#[tokio::test]
async fn a_rotation_goes_on_after_a_restart_and_ends() {
    let world = World::new().await;
    let times = Times { usual: SHORTEST, longest: Duration::ZERO };
    let open = async || {
        let origin = Origin::Made(world.folder.path().join("ca.key"));
        Authority::open("cluster.local".into(), times, origin, &world.store).await.unwrap()
    };
    let authority = open().await;
    let old = authority.trust();
    authority.rotate().await.unwrap();
    let authority = open().await;
    let new = authority.trust().to_be_known().unwrap().to_owned();
    assert_eq!(authority.confirm(&new, "me", &["me".to_owned()]).await, Ok(Vec::new()));
    assert_eq!(authority.advance(&new, SystemTime::now()).await, Ok(Looked::Done));
    let authority = open().await;
    assert_eq!(authority.trust().rotation.step, Step::Issuing);
    let until = authority.trust().rotation.until.unwrap();
    assert_eq!(authority.advance(&new, until - Duration::from_millis(1)).await, Ok(Looked::Nothing));
    assert_eq!(authority.advance(&old.current.fingerprint, until).await, Ok(Looked::Nothing), "of another rotation");
    assert_eq!(authority.advance(&new, until).await, Ok(Looked::Done));
    assert_eq!(authority.advance(&new, until).await, Ok(Looked::Nothing));
    authority.forget_confirmations().await.unwrap();
    let after = authority.trust();
    assert_eq!((after.rotation.step, after.roots.len(), &after.current.fingerprint), (Step::Steady, 1, &new));
    // Who was told of the old root in a token finds the way from there.
    let verifier = Verifier::new(&old.roots, "cluster.local".into(), &server::provider()).unwrap();
    let order = issuer::Order {
        identity: Identity::control_plane("cluster.local"),
        workload: None,
        limits: Limits::default(),
        hosts: Vec::new(),
        not_before: None,
        key: rcgen::PublicKeyData::subject_public_key_info(&KeyPair::generate().unwrap()),
        ttl: SHORTEST,
    };
    let shown = after.shown(&after.issuer.issue(&order).await.unwrap().chain);
    assert!(verifier.verify_client_cert(&shown[0], &shown[1..], UnixTime::now()).is_ok());
    assert!(shown.contains(&old.current.der) && shown.contains(&after.current.der));
    // What is given to workloads says nothing of it any more.
    assert!(!is_good(&chain(&world, &authority).await, &old.roots));
    assert_eq!(world.store.records().count(Shelf::Authority), 1);
    assert!(open().await.rotate().await.is_ok());
}
