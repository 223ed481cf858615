use super::*;
use serde_json::{Value, json};

fn read(providers: Value) -> Result<Vec<Provider>, String> {
    let written: Vec<written::ExtensionProvider> = serde_json::from_value(providers).unwrap();
    let mut reader = Reader::default();
    let read = super::providers(&written, &mut reader);
    reader.finish(Some(read)).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

fn grpc(more: Value) -> Result<Vec<Provider>, String> {
    let mut all = json!({"service": "authz.auth.svc.cluster.local", "port": 9000});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    read(json!([{"name": "a", "envoyExtAuthzGrpc": all}]))
}

fn http(more: Value) -> Result<Vec<Provider>, String> {
    let mut all = json!({"service": "auth/authz.example", "port": 80});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    read(json!([{"name": "a", "envoyExtAuthzHttp": all}]))
}

#[test]
fn what_is_not_said_fails_closed_and_ends() {
    let provider = grpc(json!({})).unwrap().remove(0);
    assert_eq!((provider.fail_open, provider.status_on_error, provider.timeout, provider.body), (false, 403, TIMEOUT, None));
    assert_eq!(provider.server, Server { namespace: None, host: "authz.auth.svc.cluster.local".into(), port: 9000 });
    assert_eq!(provider.way, Way::Grpc);
}

#[test]
fn all_that_is_said_is_read() {
    let more = json!({
        "timeout": "2s", "failOpen": true, "statusOnError": "503", "pathPrefix": "/check",
        "includeRequestBodyInCheck": {"maxRequestBytes": 100, "allowPartialMessage": true},
        "includeRequestHeadersInCheck": ["X-Team", "x-b3-*"], "includeAdditionalHeadersInCheck": {"x-from": "mesh"},
        "headersToUpstreamOnAllow": ["x-user"], "headersToDownstreamOnDeny": ["*-id"], "headersToDownstreamOnAllow": ["*"],
    });
    let provider = http(more).unwrap().remove(0);
    assert_eq!((provider.fail_open, provider.status_on_error, provider.timeout), (true, 503, Duration::from_secs(2)));
    assert_eq!(provider.body, Some(Body { most: 100, partial: true, bytes: false }));
    assert_eq!(provider.server.namespace.as_deref(), Some("auth"));
    let copied = Copied {
        path_prefix: "/check".into(),
        headers: vec![Pattern::Exact("x-team".into()), Pattern::Prefix("x-b3-".into())],
        added: vec![("x-from".into(), "mesh".into())],
        to_application: vec![Pattern::Exact("x-user".into())],
        to_denied: vec![Pattern::Suffix("-id".into())],
        to_allowed: vec![Pattern::Present],
    };
    assert_eq!(provider.way, Way::Http(Box::new(copied)));
}

#[test]
fn what_cannot_be_held_to_is_refused_by_its_path() {
    for (more, wanted) in [
        (json!({"port": 0}), "envoyExtAuthzGrpc.port: 0 is not a port"),
        (json!({"service": "authz"}), "envoyExtAuthzGrpc.service: \"authz\" is in no namespace"),
        (json!({"service": "10.0.0.1:80"}), "envoyExtAuthzGrpc.service:"),
        (json!({"service": "a/b/c"}), "envoyExtAuthzGrpc.service:"),
        (json!({"timeout": "0s"}), "timeout: 0 leaves no time"),
        (json!({"timeout": "61s"}), "timeout: \"61s\" is longer"),
        (json!({"statusOnError": "200"}), "statusOnError: \"200\" is not a status"),
        (json!({"statusOnError": "0403"}), "statusOnError:"),
        (json!({"statusOnError": "418"}), "statusOnError:"),
        (json!({"statusOnError": "600"}), "statusOnError:"),
        (json!({"statusOnError": "Forbidden"}), "statusOnError:"),
        (json!({"includeRequestBodyInCheck": {}}), "includeRequestBodyInCheck.maxRequestBytes: required"),
        (json!({"includeRequestBodyInCheck": {"maxRequestBytes": 67_108_865}}), "maxRequestBytes: required, 1 to 67108864"),
    ] {
        let told = grpc(more.clone()).unwrap_err();
        assert!(told.starts_with("extensionProviders[0].envoyExtAuthzGrpc.") && told.contains(wanted), "{more}: {told}");
    }
    for (more, wanted) in [
        (json!({"pathPrefix": "check"}), "pathPrefix:"),
        (json!({"pathPrefix": "/a?b"}), "pathPrefix:"),
        (json!({"includeRequestBodyInCheck": {"maxRequestBytes": 1, "packAsBytes": true}}), "packAsBytes: only with envoyExtAuthzGrpc"),
        (json!({"includeRequestHeadersInCheck": []}), "includeRequestHeadersInCheck: it is empty"),
        (json!({"headersToUpstreamOnAllow": ["a b"]}), "headersToUpstreamOnAllow[0]: \"a b\" is not the name"),
        (json!({"headersToUpstreamOnAllow": ["*"]}), "headersToUpstreamOnAllow: \"connection\" would be among them"),
        (json!({"headersToUpstreamOnAllow": ["x-a", "*-length"]}), "headersToUpstreamOnAllow: \"content-length\" would be"),
        (json!({"headersToUpstreamOnAllow": ["HOST"]}), "headersToUpstreamOnAllow: \"host\" would be"),
        (json!({"includeAdditionalHeadersInCheck": {"host": "a"}}), "includeAdditionalHeadersInCheck.host: \"host\" is the question's own"),
        (json!({"includeAdditionalHeadersInCheck": {"x-a": "%REQ(x)%"}}), "includeAdditionalHeadersInCheck.x-a:"),
    ] {
        let told = http(more.clone()).unwrap_err();
        assert!(told.starts_with("extensionProviders[0].envoyExtAuthzHttp.") && told.contains(wanted), "{more}: {told}");
    }
}

#[test]
fn each_has_one_way_of_asking_and_a_name_of_its_own() {
    let grpc = json!({"service": "a.b", "port": 1});
    let one = json!({"name": "a", "envoyExtAuthzGrpc": grpc});
    assert_eq!(read(json!([one, one])).unwrap_err(), "extensionProviders: the name \"a\" is there twice");
    for wrong in [
        json!({"name": "a"}),
        json!({"name": "a", "envoyExtAuthzGrpc": grpc, "envoyExtAuthzHttp": grpc}),
        json!({"name": "", "envoyExtAuthzGrpc": grpc}),
    ] {
        assert!(read(json!([wrong])).is_err(), "{wrong}");
    }
}
