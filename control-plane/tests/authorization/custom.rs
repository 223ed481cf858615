use super::judge::{Caller, Judge, TCP, WEB};
use super::{WEB_ACCOUNT, connection, named, nobody, policy, request, web};

const PROVIDERS: &str = "---
apiVersion: v1
kind: Service
metadata: {name: authz, namespace: auth}
spec: {ports: [{name: grpc, port: 9000, appProtocol: grpc}, {name: http, port: 80}]}
---
apiVersion: ninon.dev/v1alpha1
kind: MeshConfig
metadata: {name: mesh}
spec:
  extensionProviders:
  - {name: a, envoyExtAuthzGrpc: {service: authz.auth, port: 9000}}
  - {name: b, envoyExtAuthzHttp: {service: authz.auth, port: 80, failOpen: true}}
  - {name: gone, envoyExtAuthzGrpc: {service: gone.auth, port: 9000}}
";

fn at(path: &'static str) -> Caller {
    Caller { path, ..web() }
}

fn custom(provider: &str, rules: &str) -> String {
    format!("{PROVIDERS}{}", policy(&format!("{{action: CUSTOM, provider: {{name: {provider}}}, rules: {rules}}}")))
}

#[test]
fn what_a_rule_fits_is_asked_about_and_nothing_else() {
    let judge =
        Judge::of(&custom("a", "[{to: [{operation: {paths: [/api*]}}], from: [{source: {notPrincipals: [cluster.local/ns/a/sa/b]}}]}]"));
    assert_eq!((judge.asked(&at("/api/x")), judge.asked(&at("/"))), (vec!["authz.auth:9000".to_owned()], vec![]));
    assert_eq!(judge.asked(&Caller { path: "/api", ..nobody() }), ["authz.auth:9000"], "nobody is not somebody else");
    assert!(judge.request(&at("/api/x")).is_ok(), "that is not decided here");
    let judge = Judge::of(&custom("b", "[{}]"));
    assert_eq!(judge.asked(&nobody()), ["authz.auth:80"]);
    let none = Judge::of(&custom("a", "[]"));
    assert_eq!(none.asked(&at("/api")), [""; 0], "it has no rule that fits");
}

#[test]
fn several_providers_are_asked_each_about_its_own() {
    let both = custom("a", "[{to: [{operation: {paths: [/api*]}}]}]")
        + &named("ninon-system", "b", "{action: CUSTOM, provider: {name: b}, rules: [{to: [{operation: {methods: [GET]}}]}]}")
        + &named("shop", "c", "{action: CUSTOM, provider: {name: a}, rules: [{to: [{operation: {paths: [/more]}}]}]}");
    let judge = Judge::of(&both);
    assert_eq!(judge.asked(&at("/api")), ["authz.auth:9000", "authz.auth:80"]);
    assert_eq!(judge.asked(&at("/more")), ["authz.auth:9000", "authz.auth:80"]);
    assert_eq!(judge.asked(&at("/")), ["authz.auth:80"]);
    assert_eq!(judge.asked(&Caller { method: "PUT", ..at("/") }), [""; 0]);
}

#[test]
fn where_nobody_can_be_asked_what_a_rule_fits_is_denied() {
    for provider in ["gone", "unheard-of"] {
        let policies = custom(provider, "[{to: [{operation: {paths: [/api*]}}]}]");
        let judge = Judge::of(&policies);
        assert_eq!(judge.asked(&at("/api")), [""; 0]);
        assert_eq!(judge.request(&at("/api")), Err("ns[shop]-policy[p]-rule[0]".to_owned()), "{provider}");
        assert!(request(&policies, &at("/")), "{provider}");
    }
    // One that decides and one that is not there.
    let policies =
        custom("a", "[{}]") + &named("shop", "x", "{action: CUSTOM, provider: {name: gone}, rules: [{to: [{operation: {paths: [/x]}}]}]}");
    let judge = Judge::of(&policies);
    assert!(judge.request(&at("/x")).is_err() && judge.request(&at("/")).is_ok());
    assert_eq!(judge.asked(&at("/")), ["authz.auth:9000"]);
}

/// Nobody can be asked about a connection: it is denied, unless the rule is for other ports.
#[test]
fn connections_that_a_rule_fits_are_denied() {
    assert!(!connection(&custom("a", "[{}]"), &web()));
    assert!(!connection(&custom("a", "[{to: [{operation: {paths: [/api*]}}]}]"), &web()));
    let of_port = custom("a", "[{to: [{operation: {paths: [/api*], ports: ['8080']}}]}]");
    assert!(connection(&of_port, &web()));
    assert_eq!(Judge::of(&of_port).asked(&at("/api")), ["authz.auth:9000"]);
    let of_others =
        custom("a", &format!("[{{from: [{{source: {{notPrincipals: ['{}']}}}}]}}]", WEB_ACCOUNT.trim_start_matches("spiffe://")));
    assert!(connection(&of_others, &web()) && !connection(&of_others, &nobody()));
    let judge = Judge::redirected(&custom("a", "[{}]"));
    assert_eq!(judge.guarded_chains(), judge.chains(), "no way in is without it");
}

/// As in Istio it comes first, and may put a token into a request; unless it asks what tokens say.
#[test]
fn it_comes_before_tokens_are_verified_and_before_deny_and_allow() {
    let all = [
        custom("b", "[{}]"),
        named("shop", "t", "{action: CUSTOM, provider: {name: a}, rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}"),
        named("shop", "d", "{action: DENY, rules: [{}]}"),
        named("shop", "w", "{rules: [{}]}"),
        named("shop", "s", "{action: AUDIT, rules: [{}]}"),
        "---\napiVersion: ninon.dev/v1alpha1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: shop}\n".to_owned(),
        "spec: {jwtRules: [{issuer: i, jwksUri: 'https://keys.example'}]}\n".to_owned(),
    ];
    let judge = Judge::of(&all.concat());
    let short = |name: &String| name.trim_start_matches("envoy.filters.http.").to_owned();
    let names: Vec<String> = judge.names(WEB).iter().map(short).collect();
    let first = ["rbac.custom.b", "ext_authz.b", "jwt_authn", "rbac.audit", "rbac.custom.a", "ext_authz.a"];
    assert_eq!(names, [first.as_slice(), &["rbac.deny", "rbac.allow", "router"]].concat());
    assert_eq!(judge.names(TCP)[..2], ["envoy.filters.network.rbac.audit", "envoy.filters.network.rbac.custom"]);
}

/// What a client writes where tokens do decides nothing, and is told to nobody.
#[test]
fn a_header_that_tokens_write_is_asked_for_when_they_have() {
    let tokens = "---\napiVersion: ninon.dev/v1alpha1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: shop}\n\
        spec: {jwtRules: [{issuer: i, jwksUri: 'https://keys.example', outputClaimToHeaders: [{header: x-group, claim: group}], \
        outputPayloadToHeader: x-payload}]}\n";
    let is_first = |policies: &str| {
        let names = Judge::of(&[policies, tokens].concat()).names(WEB);
        let at = |part: &str| names.iter().position(|name| name.contains(part)).unwrap();
        at("ext_authz") < at("jwt_authn")
    };
    // By HTTP it is told of no header here.
    assert!(is_first(&custom("b", "[{to: [{operation: {paths: [/a]}}], when: [{key: 'request.headers[x-other]', values: [a]}]}]")));
    for key in ["request.headers[X-Group]", "request.headers[x-payload]", "request.auth.claims[group]"] {
        for values in ["values", "notValues"] {
            let rules = format!("[{{}}, {{when: [{{key: '{key}', {values}: [staff]}}]}}]");
            assert!(!is_first(&custom("b", &rules)), "{key} {values}");
        }
    }
    assert!(!is_first(&custom("a", "[{}]")), "by gRPC it is told of all");
    let told = custom("b", "[{}]").replace("port: 80, failOpen", "port: 80, includeRequestHeadersInCheck: [x-gr*], failOpen");
    assert!(!is_first(&told));
}
