use serde_json::{Value, json};

use super::*;
use crate::xds::test_wire::{message, parsed};

const KEYS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "e", "x": "wlgWVQ2-KeMME9PphCeM07kq2Lwp0BV8a0cAg-6Ewzw", "y": "fkJpgrKZG-SNLez3To7tz2htm7LU1DHC3p-KmLKr-s0"}]}"#;

fn of(wire: Value) -> Result<(JwtAuthentication, Vec<String>), String> {
    let wire: wire::JwtAuthentication = message(&wire);
    parsed(|parser| filter(&wire, parser))
}

fn with_provider(over: Value) -> Result<(JwtAuthentication, Vec<String>), String> {
    let mut provider = json!({"issuer": "i", "local_jwks": {"inline_string": KEYS}});
    for (name, value) in over.as_object().unwrap() {
        provider[name] = value.clone();
    }
    of(json!({"providers": {"p": provider}}))
}

#[test]
fn what_is_not_said_is_as_in_envoy() {
    let (filter, _) = with_provider(json!({})).unwrap();
    let provider = &filter.providers[0];
    assert_eq!(provider.headers, [(AUTHORIZATION, "Bearer ".to_owned())]);
    assert_eq!((provider.parameters.as_slice(), provider.clock_skew.as_secs()), (["access_token".to_owned()].as_slice(), 60));
    let (filter, _) = with_provider(json!({"from_cookies": ["c"]})).unwrap();
    assert!(filter.providers[0].headers.is_empty() && filter.providers[0].parameters.is_empty(), "another place is the only one");
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_place() {
    let rule = |requires: Value| json!({"providers": {"p": {"local_jwks": {"inline_string": KEYS}}}, "rules": [{"match": {"prefix": "/"}, "requires": requires}]});
    for (wire, fault) in [
        (rule(json!({"provider_name": "q"})), "rules[0].requires.provider_name: there is no provider \"q\""),
        (rule(json!({})), "rules[0].requires: a requirement is required"),
        (
            rule(json!({"requires_any": {"requirements": [{"provider_name": "p"}]}})),
            "rules[0].requires.requires_any.requirements: at least two are required",
        ),
        (
            json!({"rules": [{"match": {"prefix": "/"}, "requirement_name": "r"}]}),
            "rules[0].requirement_name: there is no requirement \"r\"",
        ),
        (json!({"rules": [{}]}), "rules[0].match: required"),
        (json!({"providers": {"p": {}}}), "providers[\"p\"]: one of remote_jwks, local_jwks is required"),
    ] {
        assert_eq!(of(wire.clone()).unwrap_err(), fault, "{wire}");
    }
    for (over, fault) in [
        (json!({"local_jwks": {"inline_string": "{}"}}), "providers[\"p\"].local_jwks: not a set of keys: there is no \"keys\""),
        (json!({"from_headers": [{"name": "a b"}]}), "providers[\"p\"].from_headers[0].name.name: \"a b\" is not a header name"),
        (json!({"claim_to_headers": [{"header_name": "x"}]}), "providers[\"p\"].claim_to_headers[0].claim_name: must not be empty"),
    ] {
        let told = with_provider(over.clone()).unwrap_err();
        assert_eq!(told.replace("name.name", "name"), fault.replace("name.name", "name"), "{over}");
    }
}

#[test]
fn a_set_of_keys_has_a_server_and_a_time() {
    let of = |remote: Value| of(json!({"providers": {"p": {"remote_jwks": remote}}}));
    let uri = json!({"uri": "https://keys.example/certs?a=b", "cluster": "c", "timeout": "2s"});
    let (filter, _) = of(json!({"http_uri": uri})).unwrap();
    let KeySource::Remote(remote) = &filter.providers[0].keys else { panic!("they are fetched") };
    assert_eq!((remote.authority.as_bytes(), remote.path.as_str(), remote.cache.as_secs()), (&b"keys.example"[..], "/certs?a=b", 600));
    assert!(!remote.ahead);
    for (remote, fault) in [
        (json!({}), "http_uri: required"),
        (json!({"http_uri": {"uri": "/certs", "cluster": "c", "timeout": "2s"}}), "http_uri.uri: \"/certs\" has no scheme or no host"),
        (json!({"http_uri": {"uri": "http://a", "cluster": "c"}}), "http_uri.timeout: required"),
    ] {
        assert_eq!(of(remote).unwrap_err(), format!("providers[\"p\"].remote_jwks.{fault}"));
    }
    let (_, warnings) = of(json!({"http_uri": uri, "async_fetch": {"fast_listener": true}})).unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "no listener waits for keys");
}
