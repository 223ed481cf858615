use serde_json::{Value, json};

use crate::judge::{Caller, Judge, WEB};
use crate::{connection, fits, nobody, policy, request};

fn with(claims: Value) -> Caller {
    Caller { claims: Some(claims), ..Caller::default() }
}

fn who(issuer: &str, subject: &str) -> Caller {
    with(json!({"iss": issuer, "sub": subject}))
}

fn tokens(more: &str) -> String {
    let set = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}]}"#;
    let kind = "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication";
    format!("{kind}\nmetadata: {{name: t, namespace: shop}}\nspec: {{jwtRules: [{{issuer: i, jwks: '{set}'{more}}}]}}\n")
}

#[test]
fn whose_token_it_is() {
    let source = |what: &str| format!("{{from: [{{source: {{{what}}}}}]}}");
    let ada = || who("https://issuer.example", "ada");
    let bob = || who("https://issuer.example", "bob");
    let other = || who("https://other.example", "ada");
    let nameless = || with(json!({"iss": "https://issuer.example"}));
    fits(&source("requestPrincipals: [https://issuer.example/ada]"), &[ada()], &[nobody(), bob(), other(), nameless()]);
    fits(&source("requestPrincipals: ['*']"), &[ada(), bob(), other()], &[nobody(), nameless()]);
    fits(&source("requestPrincipals: [https://issuer.example/*]"), &[ada(), bob()], &[nobody(), other(), nameless()]);
    fits(&source("requestPrincipals: [https://issuer*]"), &[ada(), bob()], &[nobody(), other()]);
    fits(&source("requestPrincipals: ['*/ada']"), &[ada(), other()], &[nobody(), bob(), who("i", "nada")]);
    fits(&source("requestPrincipals: ['*da']"), &[ada(), other()], &[nobody(), bob()]);
    fits(&source("requestPrincipals: ['*.example/ada']"), &[ada(), other()], &[nobody(), bob(), who("i", "ada")]);
    // Both sides may have slashes.
    fits(&source("requestPrincipals: [i/x/y]"), &[who("i/x", "y"), who("i", "x/y")], &[nobody(), who("i", "y"), who("x", "y")]);
    fits(&source("requestPrincipals: [i/x/*]"), &[who("i/x", "y"), who("i", "x/y"), who("i/x/z", "y")], &[who("i", "xy"), who("i", "x")]);
    let both = source("principals: [cluster.local/ns/shop/sa/web], requestPrincipals: [https://issuer.example/ada]");
    let as_web = Caller { principal: Some("spiffe://cluster.local/ns/shop/sa/web"), ..ada() };
    fits(&both, &[as_web], &[ada(), nobody()]);
    fits("{when: [{key: request.auth.principal, values: [https://issuer.example/ada]}]}", &[ada()], &[nobody(), bob()]);
}

#[test]
fn what_it_says() {
    let when = |key: &str, values: &str| format!("{{when: [{{key: '{key}', values: [{values}]}}]}}");
    let of = |name: &str, value: Value| with(json!({"iss": "i", "sub": "s", name: value}));
    let (one, several) = (of("aud", json!("shop")), of("aud", json!(["bank", "shop"])));
    fits(&when("request.auth.audiences", "shop"), &[one, several], &[nobody(), of("aud", json!("bank")), of("aud", json!([]))]);
    fits(&when("request.auth.presenter", "web"), &[of("azp", json!("web"))], &[nobody(), of("azp", json!("cart"))]);
    let groups = when("request.auth.claims[groups]", "admin, 'ops-*'");
    let good = [of("groups", json!("admin")), of("groups", json!(["a", "ops-eu"]))];
    fits(&groups, &good, &[nobody(), of("groups", json!(["a"])), of("groups", json!({"admin": 1})), of("group", json!("admin"))]);
    let nested = when("request.auth.claims[realm][roles]", "admin");
    let good = of("realm", json!({"roles": ["admin"]}));
    fits(&nested, &[good], &[nobody(), of("realm", json!("admin")), of("roles", json!("admin"))]);
    fits(
        &when("request.auth.claims[banned]", "'true'"),
        &[of("banned", json!(true)), of("banned", json!("true"))],
        &[of("banned", json!(false))],
    );
    fits(
        &when("request.auth.claims[level]", "'3'"),
        &[of("level", json!(3)), of("level", json!("3"))],
        &[of("level", json!(30)), nobody()],
    );
    let some = [of("level", json!(0)), of("level", json!("x")), of("level", json!(false)), of("level", json!(["a"]))];
    fits(
        &when("request.auth.claims[level]", "'*'"),
        &some,
        &[nobody(), of("level", json!(null)), of("level", json!("")), of("level", json!([]))],
    );
    // Beyond what a number of the wire tells apart it is a text.
    fits(
        &when("request.auth.claims[id]", "'9007199254740993'"),
        &[of("id", json!("9007199254740993"))],
        &[of("id", json!(9_007_199_254_740_992_u64))],
    );
}

/// As it is with certificates: who has none is none of those who are not meant, and is not allowed for that.
#[test]
fn nobody_is_not_allowed_for_having_no_token() {
    let ada = || who("i", "ada");
    for rule in ["{from: [{source: {notRequestPrincipals: [i/bob]}}]}", "{when: [{key: 'request.auth.claims[sub]', notValues: [bob]}]}"] {
        let (allow, deny) = (policy(&format!("{{rules: [{rule}]}}")), policy(&format!("{{action: DENY, rules: [{rule}]}}")));
        for (caller, allowed, denied) in [(ada(), true, true), (who("i", "bob"), false, false), (nobody(), false, true)] {
            assert_eq!((request(&allow, &caller), request(&deny, &caller)), (allowed, !denied), "{rule}: {caller:?}");
        }
    }
    let all_have_one = policy("{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}");
    assert!(request(&all_have_one, &ada()) && !request(&all_have_one, &nobody()));
}

#[test]
fn a_connection_has_no_token() {
    let allow = policy("{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}");
    assert!(!connection(&allow, &who("i", "ada")));
    let deny = policy("{action: DENY, rules: [{from: [{source: {requestPrincipals: [i/bob], namespaces: [bank]}}]}]}");
    assert!(connection(&deny, &nobody()));
    assert!(!connection(&deny, &Caller { principal: Some("spiffe://cluster.local/ns/bank/sa/x"), ..nobody() }), "the rest of it counts");
    assert!(!connection(&policy("{action: DENY, rules: [{when: [{key: 'request.auth.claims[a]', values: [b]}]}]}"), &nobody()));
}

#[test]
fn whose_tokens_are_believed_denies_nobody_who_has_none() {
    let judge = Judge::of(&tokens(""));
    assert_eq!(judge.filters(WEB), 0);
    assert!(judge.request(&nobody()).is_ok() && judge.connection(&nobody()).is_ok());
}

#[test]
fn no_request_passes_where_nobody_knows_which_tokens_are_good() {
    let judge = Judge::with_broken(&tokens(", jwksUrl: x").replace("name: t,", "name: broken,"), &policy("{rules: [{}]}"));
    assert_eq!(judge.request(&who("i", "ada")), Err("ns[shop]-request-authentication[broken]".to_owned()));
    assert!(judge.request(&nobody()).is_err() && judge.connection(&nobody()).is_ok(), "connections have no tokens");
}
