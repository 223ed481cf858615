use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use http::{HeaderMap, HeaderName};
use serde_json::json;

use super::*;
use crate::config::jwt::KeySource;
use crate::config::jwt::keys::PublicKey;

const NOW: u64 = 1_000_000;

struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn keys(&self) -> Arc<[Key]> {
        let public = PublicKey::P256(self.0.public_key().as_ref().to_vec());
        [Key { id: Some("k".to_owned()), algorithm: None, public }].into()
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(r#"{"alg": "ES256", "kid": "k"}"#, &claims.to_string())
    }
}

fn provider(name: &str, issuer: &Issuer) -> Provider {
    Provider {
        name: name.to_owned(),
        issuer: Some(name.to_owned()),
        audiences: Vec::new(),
        subjects: None,
        require_expiration: false,
        max_lifetime: None,
        keys: KeySource::Local(issuer.keys()),
        forward: true,
        headers: vec![("authorization".parse().unwrap(), "Bearer ".to_owned())],
        parameters: vec!["t".to_owned()],
        cookies: Vec::new(),
        forward_payload: None,
        payload_in_metadata: None,
        word_lists: Vec::new(),
        clock_skew: Duration::from_secs(60),
        claim_headers: Vec::new(),
        clear_route_cache: false,
    }
}

fn filter(providers: Vec<Provider>) -> JwtAuthentication {
    JwtAuthentication {
        providers,
        rules: Vec::new(),
        named: Default::default(),
        bypass_cors_preflight: false,
        strip_failure_response: false,
    }
}

fn request(path: &str, authorization: &[&str]) -> RequestHead {
    let mut headers = HeaderMap::new();
    for token in authorization {
        headers.append("authorization", format!("Bearer {token}").parse().unwrap());
    }
    RequestHead::of_path(path, headers)
}

fn verify_with(filter: &JwtAuthentication, requirement: &Requirement, request: &RequestHead) -> Verdict {
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    verify(filter, requirement, request, now, &|index| match &filter.providers[index].keys {
        KeySource::Local(keys) => KeysNow::Known(Arc::clone(keys)),
        KeySource::Remote(_) => KeysNow::Failed,
    })
}

fn verdict_of(filter: &JwtAuthentication, tokens: &[&str]) -> Result<(), Failure> {
    match verify_with(filter, &Requirement::Provider(0, None), &request("/", tokens)) {
        Verdict::Good(_) => Ok(()),
        Verdict::Bad(failure) => Err(failure),
        Verdict::NeedsKeys(_) => panic!("the keys are known"),
    }
}

#[test]
fn what_must_be_understood_and_is_not_refuses_a_token() {
    let issuer = Issuer::new();
    let filter = filter(vec![provider("p", &issuer)]);
    let claims = r#"{"iss": "p"}"#;
    assert_eq!(verdict_of(&filter, &[&issuer.sign(r#"{"alg": "ES256"}"#, claims)]), Ok(()));
    for header in [r#"{"alg": "ES256", "crit": ["x"], "x": 1}"#, r#"{"alg": "ES256", "crit": []}"#, r#"{"alg": "ES256", "b64": false}"#] {
        assert_eq!(verdict_of(&filter, &[&issuer.sign(header, claims)]), Err(Failure::Critical), "{header}");
    }
}

#[test]
fn a_token_that_says_two_things_is_none() {
    let issuer = Issuer::new();
    let filter = filter(vec![provider("p", &issuer)]);
    let header = r#"{"alg": "ES256"}"#;
    assert_eq!(verdict_of(&filter, &[&issuer.sign(header, r#"{"iss": "q", "iss": "p"}"#)]), Err(Failure::PayloadJson));
    assert_eq!(verdict_of(&filter, &[&issuer.sign(r#"{"alg": "none", "alg": "ES256"}"#, r#"{"iss": "p"}"#)]), Err(Failure::HeaderJson));
}

#[test]
fn no_public_key_is_a_secret_and_no_signature_is_nothing() {
    let issuer = Issuer::new();
    let filter = filter(vec![provider("p", &issuer)]);
    for (algorithm, failure) in [
        ("none", Failure::Algorithm),
        ("None", Failure::Algorithm),
        ("HS256", Failure::Signature),
        ("RS256", Failure::Signature),
        ("EdDSA", Failure::Signature),
    ] {
        let token = issuer.sign(&json!({"alg": algorithm}).to_string(), r#"{"iss": "p"}"#);
        assert_eq!(verdict_of(&filter, &[&token]), Err(failure), "{algorithm}");
    }
    let token = issuer.token(&json!({"iss": "p"}));
    let unsigned = &token[..=token.rfind('.').unwrap()];
    assert_eq!(verdict_of(&filter, &[unsigned]), Err(Failure::Form));
    assert_eq!(verdict_of(&filter, &[&format!("{token}==")]), Err(Failure::SignatureCoding));
    let other = Issuer::new().token(&json!({"iss": "p"}));
    assert_eq!(verdict_of(&filter, &[&other]), Err(Failure::Signature));
    let named = issuer.sign(r#"{"alg": "ES256", "kid": "z"}"#, r#"{"iss": "p"}"#);
    assert_eq!(verdict_of(&filter, &[&named]), Err(Failure::NoKey));
}

#[test]
fn times_are_kept_with_the_skew() {
    let issuer = Issuer::new();
    let mut one = provider("p", &issuer);
    one.max_lifetime = Some(Duration::from_secs(100));
    let filter = filter(vec![one]);
    let of = |exp: i64, nbf: i64| verdict_of(&filter, &[&issuer.token(&json!({"iss": "p", "exp": exp, "nbf": nbf}))]);
    let now = i64::try_from(NOW).unwrap();
    assert_eq!(of(now + 100, 0), Ok(()));
    assert_eq!(of(now + 101, 0), Err(Failure::Lifetime));
    assert_eq!(of(now - 60, 0), Ok(()));
    assert_eq!(of(now - 61, 0), Err(Failure::Expired));
    // Zero is a time, too.
    assert_eq!(of(0, 0), Err(Failure::Expired));
    assert_eq!(of(now + 1, now + 60), Ok(()));
    assert_eq!(of(now + 1, now + 61), Err(Failure::NotYetValid));
    assert_eq!(verdict_of(&filter, &[&issuer.token(&json!({"iss": "p"}))]), Err(Failure::NoEnd));
}

#[test]
fn every_token_in_a_providers_places_has_to_be_good() {
    let issuer = Issuer::new();
    let filter = filter(vec![provider("p", &issuer)]);
    let (good, bad) = (issuer.token(&json!({"iss": "p"})), issuer.token(&json!({"iss": "q"})));
    assert_eq!(verdict_of(&filter, &[&good, &good]), Ok(()));
    assert_eq!(verdict_of(&filter, &[&good, &bad]), Err(Failure::UnknownIssuer));
    assert_eq!(verdict_of(&filter, &[&bad, &good]), Err(Failure::UnknownIssuer));
    let both = request(&format!("/?t={bad}"), &[&good]);
    assert_eq!(verify_with(&filter, &Requirement::Provider(0, None), &both), Verdict::Bad(Failure::UnknownIssuer));
    let missing = verify_with(&filter, &Requirement::AllowMissing, &both);
    assert_eq!(missing, Verdict::Bad(Failure::UnknownIssuer));
}

#[test]
fn of_two_good_tokens_policies_would_see_one_and_the_application_the_other() {
    let issuer = Issuer::new();
    let mut filter = filter(vec![provider("p", &issuer), provider("q", &issuer)]);
    let both = [issuer.token(&json!({"iss": "p"})), issuer.token(&json!({"iss": "q"}))];
    let both = request("/", &[&both[0], &both[1]]);
    assert!(matches!(verify_with(&filter, &Requirement::AllowMissing, &both), Verdict::Good(_)), "nobody looks at them");
    filter.providers.iter_mut().for_each(|provider| provider.payload_in_metadata = Some("payload".to_owned()));
    assert_eq!(verify_with(&filter, &Requirement::AllowMissing, &both), Verdict::Bad(Failure::TooMany));
    filter.providers[1].payload_in_metadata = Some("other".to_owned());
    assert!(matches!(verify_with(&filter, &Requirement::AllowMissing, &both), Verdict::Good(_)), "each has its name");
}

#[test]
fn thousands_of_tokens_are_not_looked_at() {
    let issuer = Issuer::new();
    let filter = filter(vec![provider("p", &issuer)]);
    let good = issuer.token(&json!({"iss": "p"}));
    let many: Vec<String> = (0..places::MOST + 1).map(|number| format!("{good}{number}")).collect();
    let all = request(&format!("/?t={}", many.join("&t=")), &[]);
    for requirement in [Requirement::Provider(0, None), Requirement::AllowMissing] {
        assert_eq!(verify_with(&filter, &requirement, &all), Verdict::Bad(Failure::TooMany));
    }
}

#[test]
fn a_claim_that_the_client_made_up_chooses_no_route() {
    let mut filter = filter(vec![provider("p", &Issuer::new())]);
    let name = HeaderName::from_static("x-tenant");
    let mut spoofed = request("/", &[]);
    for clears in [false, true] {
        filter.providers[0].clear_route_cache = clears;
        filter.providers[0].claim_headers = vec![(name.clone(), vec!["tenant".to_owned()])];
        spoofed.headers.insert(name.clone(), HeaderValue::from_static("gold"));
        assert_eq!(sanitize(&filter, &mut spoofed), clears);
        assert!(!spoofed.headers.contains_key(&name));
        assert!(!sanitize(&filter, &mut spoofed), "there is none any more");
    }
}

#[test]
fn a_very_long_token_is_not_read() {
    let issuer = Issuer::new();
    let filter = filter(vec![provider("p", &issuer)]);
    let token = issuer.token(&json!({"iss": "p", "pad": "x".repeat(64 * 1024)}));
    assert_eq!(verdict_of(&filter, &[&token]), Err(Failure::Form));
}

#[test]
fn keys_that_are_on_their_way_decide_in_whatever_requirement() {
    let issuer = Issuer::new();
    let filter = filter(vec![provider("p", &issuer), provider("q", &issuer)]);
    let one = request("/", &[&issuer.token(&json!({"iss": "q"}))]);
    let ask = |requirement: &Requirement, keys: KeysNow| verify(&filter, requirement, &one, UNIX_EPOCH, &|_| keys.clone());
    let any = Requirement::Any(vec![Requirement::Provider(0, None), Requirement::Provider(1, None)]);
    for requirement in [&any, &Requirement::AllowMissing, &Requirement::AllowMissingOrFailed] {
        assert_eq!(ask(requirement, KeysNow::Awaited), Verdict::NeedsKeys(1));
        assert!(matches!(ask(requirement, KeysNow::Known(issuer.keys())), Verdict::Good(_)));
    }
    assert_eq!(ask(&any, KeysNow::Failed), Verdict::Bad(Failure::NoKeys));
    assert!(matches!(ask(&Requirement::AllowMissingOrFailed, KeysNow::Failed), Verdict::Good(verified) if verified.good.is_empty()));
}

#[test]
fn what_a_client_says_in_a_providers_header_is_removed() {
    let issuer = Issuer::new();
    let mut one = provider("p", &issuer);
    one.claim_headers = vec![("x-sub".parse().unwrap(), vec!["sub".to_owned()])];
    one.forward_payload = Some(("x-payload".parse().unwrap(), false));
    one.forward = false;
    let filter = filter(vec![one]);
    let mut spoofed = request("/?t=z", &[]);
    spoofed.headers.append("x-sub", HeaderValue::from_static("root"));
    spoofed.headers.append("X-Payload", HeaderValue::from_static("root"));
    sanitize(&filter, &mut spoofed);
    assert!(spoofed.headers.is_empty());
    let token = issuer.token(&json!({"iss": "p", "sub": "a\r\nx: y"}));
    let mut told = request(&format!("/?a=b&t={token}"), &[&token]);
    let Verdict::Good(verified) = verify_with(&filter, &Requirement::Provider(0, None), &told) else { panic!("it is good") };
    verified.apply(&filter, &mut told);
    // A claim that is no header's value is not written into one.
    assert_eq!(told.headers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-payload"]);
    assert_eq!(told.path.unwrap().as_str(), "/?a=b");
}
