use serde_json::json;

use super::*;

const SET: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "wlgWVQ2-KeMME9PphCeM07kq2Lwp0BV8a0cAg-6Ewzw", "y": "fkJpgrKZG-SNLez3To7tz2htm7LU1DHC3p-KmLKr-s0"}]}"#;

fn object(spec: &Value) -> Value {
    json!({"metadata": {"name": "a", "namespace": "shop", "generation": 7}, "spec": spec})
}

fn read(spec: &Value) -> Result<RequestAuthentication, Vec<String>> {
    let mut reader = Reader::default();
    let read = request_authentication(&Name::new("shop", "a"), &object(spec), &mut reader);
    reader.finish(read).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

/// One rule with these fields.
fn rule(over: &Value) -> Result<TokenRule, Vec<String>> {
    let mut rule = json!({"issuer": "https://issuer.example", "jwks": SET});
    for (name, value) in over.as_object().unwrap() {
        rule[name] = value.clone();
    }
    if over.get("jwksUri").is_some() && over.get("jwks").is_none() {
        rule.as_object_mut().unwrap().remove("jwks");
    }
    read(&json!({"jwtRules": [rule]})).map(|mut one| one.rules.remove(0))
}

#[track_caller]
fn refused(over: &Value, fault: &str) {
    let faults = rule(over).unwrap_err();
    assert!(faults.iter().any(|said| said.starts_with(&format!("spec.jwtRules[0]{fault}"))), "{over}: {faults:#?}");
}

#[test]
fn what_is_not_said_is_as_in_istio() {
    let one = read(&json!({})).unwrap();
    assert_eq!((one.selector, one.rules, one.generation, one.is_broken), (None, vec![], 7, false));
    let rule = rule(&json!({})).unwrap();
    assert_eq!(rule.headers, BTreeSet::from([("authorization".into(), "Bearer ".into())]));
    assert_eq!(rule.parameters, BTreeSet::from(["access_token".into()]));
    assert!(rule.audiences.is_empty() && rule.cookies.is_empty() && !rule.forward);
    assert_eq!(rule.word_lists, BTreeSet::from(["scope".into(), "permission".into()]));
}

#[test]
fn every_field_is_read() {
    let rule = rule(&json!({
        "audiences": ["shop"], "jwksUri": "https://keys.example/set?a=b", "fromHeaders": [{"name": "X-Token", "prefix": "T "}, {"name": "y"}],
        "fromParams": ["t"], "fromCookies": ["Session"], "outputPayloadToHeader": "X-Payload", "timeout": "2s",
        "outputClaimToHeaders": [{"header": "X-User", "claim": "user.name"}], "forwardOriginalToken": true, "spaceDelimitedClaims": ["roles"],
    }))
    .unwrap();
    let server = KeyServer {
        uri: "https://keys.example/set?a=b".into(),
        tls: true,
        host: "keys.example".into(),
        port: 443,
        timeout: Duration::from_secs(2),
    };
    assert_eq!((rule.keys, rule.forward, rule.payload_header.as_deref()), (Keys::At(server), true, Some("x-payload")));
    assert_eq!(rule.headers, BTreeSet::from([("x-token".into(), "T ".into()), ("y".into(), "".into())]));
    assert_eq!(rule.cookies, BTreeSet::from(["Session".into()]), "cookies are told apart by case");
    assert_eq!(rule.claim_headers, BTreeSet::from([("x-user".into(), "user.name".into())]));
    assert!(rule.audiences.contains("shop") && rule.parameters.contains("t") && rule.word_lists.contains("roles"));
}

#[test]
fn where_keys_are_is_a_server() {
    let of = |uri: &str| match rule(&json!({"jwksUri": uri})).map(|rule| rule.keys) {
        Ok(Keys::At(KeyServer { tls, host, port, .. })) => Ok((tls, host.to_string(), port)),
        Ok(other) => panic!("{other:?}"),
        Err(faults) => Err(faults[0].clone()),
    };
    assert_eq!(of("http://keys.auth:8080/x"), Ok((false, "keys.auth".to_owned(), 8080)));
    assert_eq!(of("HTTPS://Keys.Example"), Ok((true, "keys.example".to_owned(), 443)));
    assert_eq!(of("http://[fd00::1]/x"), Ok((false, "fd00::1".to_owned(), 80)));
    for (uri, problem) in [
        ("/keys", "is not an address such as"),
        ("https://a/keys#x", "is not an address such as"),
        ("file:///etc/keys", "is not an address such as"),
        ("ftp://a/keys", "keys are fetched by http and https"),
        ("https://10.0.0.1/keys", "https needs a name"),
        ("http://a:b@c/keys", "no name and password"),
        ("http://a:0/keys", "its port is not"),
        ("http://a:99999/keys", "its port is not"),
        ("http://a_b/keys", "is not a DNS name"),
    ] {
        let said = of(uri).unwrap_err();
        assert!(said.starts_with("spec.jwtRules[0].jwksUri: ") && said.contains(problem), "{uri}: {said}");
    }
}

#[test]
fn what_cannot_be_held_to_is_refused_with_its_place() {
    for (over, fault) in [
        (json!({"issuer": ""}), ".issuer: required"),
        (json!({"jwksUri": "http://a", "jwks": SET}), ".jwks: not with jwksUri"),
        (json!({"jwks": null}), ".jwksUri: either this or jwks is required"),
        (json!({"jwks": "{"}), ".jwks: not a set of keys"),
        (json!({"jwks": "{}"}), ".jwks: not a set of keys: there is no list"),
        (json!({"jwks": r#"{"keys": []}"#}), ".jwks: none of its keys can be used"),
        (json!({"jwks": r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#}), ".jwks: none of its keys can be used"),
        (json!({"jwks": SET.replace("\"kty\"", "\"alg\": \"HS256\", \"kty\"")}), ".jwks: none of its keys can be used"),
        (json!({"audiences": []}), ".audiences: it is empty"),
        (json!({"audiences": [""]}), ".audiences[0]: it is empty"),
        (json!({"fromHeaders": [{"name": "a b"}]}), ".fromHeaders[0].name: "),
        (json!({"fromParams": []}), ".fromParams: it is empty"),
        (json!({"fromCookies": ["a b"]}), ".fromCookies[0]: "),
        (json!({"outputPayloadToHeader": "Host"}), ".outputPayloadToHeader: \"host\" is not for tokens to say"),
        (json!({"outputClaimToHeaders": [{"header": "transfer-encoding", "claim": "a"}]}), ".outputClaimToHeaders[0].header: "),
        (json!({"outputClaimToHeaders": [{"header": "a"}]}), ".outputClaimToHeaders[0]"),
        (json!({"timeout": "0s"}), ".timeout: 0 leaves no time"),
        (json!({"timeout": "2m"}), ".timeout: \"2m\" is longer than a minute"),
    ] {
        refused(&over, fault);
    }
    let rule = json!({"issuer": "a", "jwks": SET});
    for (spec, fault) in [
        (json!({"targetRef": {}}), "spec.targetRef: not supported"),
        (json!({"targetRefs": []}), "spec.targetRefs: not supported"),
        (json!({"jwtRules": [rule, rule]}), "spec.jwtRules: the issuer \"a\" is there twice"),
    ] {
        assert!(read(&spec).unwrap_err()[0].starts_with(fault), "{spec}");
    }
}

#[test]
fn one_that_cannot_be_read_lets_no_request_pass() {
    let of = |spec: &Value| {
        let one = stand_in(&Name::new("shop", "a"), &object(spec));
        assert!(one.is_broken && one.rules.is_empty());
        one.selector.map(|labels| labels.len())
    };
    assert_eq!(of(&json!({"jwtRule": []})), None);
    assert_eq!(of(&json!({"selector": {"matchLabels": {"app": "cart"}}, "jwtRule": []})), Some(1));
    assert_eq!(of(&json!({"selector": {"matchLabels": {"app": 1}}})), None, "all that it may be for");
}
