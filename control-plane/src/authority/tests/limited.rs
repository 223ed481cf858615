use rcgen::CustomExtension;

use super::*;
use crate::authority::issuer::{Issued, Issuer, Later, Order};

fn app(value: &str) -> Limits {
    Limits::new([("app".to_owned(), value.to_owned())].into()).unwrap()
}

async fn limited(world: &World) -> String {
    let (namespace, service_account) = ("shop".to_owned(), "cart".to_owned());
    let wish = Wish { namespace, service_account, workload: None, limits: app("cart"), ttl: Duration::from_secs(60), uses: None };
    world.tokens().create(wish, None).await.unwrap().1
}

#[tokio::test]
async fn what_a_token_allows_is_in_its_certificates_and_in_those_that_follow() {
    let world = World::new().await;
    let authority = world.open().await.unwrap();
    let (token, callers) = (limited(&world).await, world.callers());
    let chain = authority.certify(&callers, asked(&csr(), &token)).await.unwrap();
    let first = verify::read(&der(&chain[0]), "cluster.local").unwrap();
    assert_eq!(first.limits, app("cart"));
    assert!(is_good(&chain, &authority.trust().roots), "who does not know the extension takes it");
    // A token that allows everything does not widen a certificate.
    let (_, any) = world.token(None).await;
    for token in [None, Some(any.as_str())] {
        let csr = csr();
        let renewed = authority.certify(&callers, Asked { token, shown: Some(&first), ..asked(&csr, "") }).await.unwrap();
        assert_eq!(verify::read(&der(&renewed[0]), "cluster.local").unwrap().limits, app("cart"));
    }
    let chain = authority.certify(&callers, asked(&csr(), &any)).await.unwrap();
    assert!(verify::read(&der(&chain[0]), "cluster.local").unwrap().limits.is_none());
}

#[test]
fn a_certificate_that_says_something_unclear_of_labels_is_refused() {
    let key = KeyPair::generate().unwrap();
    let oid = [2, 25, 5_650_168_632_383_924_589];
    let read = |contents: &[&[u8]]| {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![rcgen::SanType::URI("spiffe://cluster.local/ns/shop/sa/cart".try_into().unwrap())];
        params.custom_extensions = contents.iter().map(|content| CustomExtension::from_oid_content(&oid, content.to_vec())).collect();
        verify::read(params.self_signed(&key).unwrap().der(), "cluster.local").map(|verified| verified.limits)
    };
    let good = b"\x0c\x0e{\"app\":\"cart\"}";
    assert_eq!(read(&[good]), Ok(app("cart")));
    assert_eq!(read(&[]), Ok(Limits::default()));
    for wrong in [&b""[..], b"\x0c\x02{}", b"\x0c\x00", b"\x0c\x0e{\"app\":\"cart\"}x", b"\x0c\x0e{\"app\":\"cart\"", b"{\"app\":\"cart\"}"]
    {
        assert!(read(&[wrong]).unwrap_err().contains("not understood"), "{wrong:?}");
    }
    assert!(read(&[good, good]).is_err());
}

/// One that knows nothing of labels.
#[derive(Debug)]
struct Forgetful(Arc<dyn Issuer>);

impl Issuer for Forgetful {
    fn issue<'a>(&'a self, order: &'a Order) -> Later<'a, Result<Issued, String>> {
        let order = Order { limits: Limits::default(), ..order.clone() };
        Box::pin(async move { self.0.issue(&order).await })
    }
}

#[tokio::test]
async fn nobody_is_given_a_certificate_that_leaves_his_limits_out() {
    let world = World::new().await;
    let made = world.open().await.unwrap();
    let trust = made.trust();
    let trust = Trust { issuer: Arc::new(Forgetful(Arc::clone(&trust.issuer))), ..Trust::clone(&trust) };
    let authority = Authority::outside("cluster.local".into(), TIMES, trust, &world.store);
    let (callers, token) = (world.callers(), limited(&world).await);
    let refused = authority.certify(&callers, asked(&csr(), &token)).await.unwrap_err();
    assert!(matches!(&refused, Refused::Unavailable(why) if why.contains("limited to labels app=cart")), "{refused}");
    let (_, any) = world.token(None).await;
    assert!(authority.certify(&callers, asked(&csr(), &any)).await.is_ok());
}
