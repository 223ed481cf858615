//! What an `AuthorizationPolicy` means, case by case: objects, a caller, and whether the listener that comes out lets him in. The
//! filters are judged here by rules of their own, written after Envoy's documentation; the mesh tests have real proxies do it.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "a test fails so")]

/// Providers that are asked.
#[path = "authorization/custom.rs"]
mod custom;
/// Filters that decide.
#[path = "authorization/judge.rs"]
mod judge;
/// Rules of what tokens say.
#[path = "authorization/tokens.rs"]
mod tokens;

use judge::{Caller, Judge, TCP, WEB};

/// One policy of the workload's namespace.
fn policy(spec: &str) -> String {
    format!("---\napiVersion: ninon.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop}}\nspec: {spec}\n")
}

fn named(namespace: &str, name: &str, spec: &str) -> String {
    let kind = "apiVersion: ninon.dev/v1alpha1\nkind: AuthorizationPolicy";
    format!("---\n{kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n")
}

const WEB_ACCOUNT: &str = "spiffe://cluster.local/ns/shop/sa/web";

fn web() -> Caller {
    Caller { principal: Some(WEB_ACCOUNT), ..Caller::default() }
}

fn nobody() -> Caller {
    Caller::default()
}

/// Whether a request is let in.
#[track_caller]
fn request(policies: &str, caller: &Caller) -> bool {
    Judge::of(policies).request(caller).is_ok()
}

#[track_caller]
fn connection(policies: &str, caller: &Caller) -> bool {
    Judge::of(policies).connection(caller).is_ok()
}

#[test]
fn without_policies_there_are_no_filters() {
    let judge = Judge::of("");
    assert_eq!((judge.filters(WEB), judge.filters(TCP)), (0, 0));
    assert!(judge.request(&nobody()).is_ok() && judge.connection(&nobody()).is_ok());
}

#[test]
fn an_allow_without_rules_denies_all_and_one_empty_rule_allows_all() {
    assert!(!request(&policy("{}"), &web()));
    assert!(!connection(&policy("{}"), &web()));
    assert!(request(&policy("{rules: [{}]}"), &nobody()));
    assert!(connection(&policy("{rules: [{}]}"), &nobody()));
    assert!(request(&policy("{action: DENY}"), &nobody()), "it has no rule that fits");
    assert!(!request(&policy("{action: DENY, rules: [{}]}"), &web()));
}

#[test]
fn a_deny_counts_before_an_allow_and_one_allow_is_enough() {
    let deny = named("shop", "z", "{action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}");
    let allow = named("shop", "a", "{rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]}");
    let other = named("shop", "b", "{rules: [{from: [{source: {namespaces: [bank]}}]}]}");
    let all = [deny, allow, other].concat();
    assert!(request(&all, &web()));
    assert!(!request(&all, &nobody()));
    assert!(request(&all, &Caller { principal: Some("spiffe://cluster.local/ns/bank/sa/x"), ..nobody() }));
    let admin = Caller { path: "/admin/x", ..web() };
    assert_eq!(Judge::of(&all).request(&admin), Err("ns[shop]-policy[z]-rule[0]".to_owned()));
    assert_eq!(Judge::of(&all).request(&nobody()), Err(String::new()), "no policy allows it");
}

#[test]
fn a_policy_is_for_whom_it_selects() {
    let none = "{selector: {matchLabels: {app: SELECTED}}}";
    for (namespace, app, denied) in [
        ("shop", "cart", true),
        ("shop", "web", false),
        ("bank", "cart", false),
        ("ninon-system", "cart", true),
        ("ninon-system", "web", false),
    ] {
        let policies = named(namespace, "a", &none.replace("SELECTED", app));
        assert_eq!(!request(&policies, &web()), denied, "{namespace} {app}");
        assert_eq!(!connection(&policies, &web()), denied, "{namespace} {app}");
    }
    assert!(!request(&named("ninon-system", "a", "{}"), &web()));
    assert!(request(&named("bank", "a", "{}"), &web()));
    // Of the mesh and of the namespace: both count.
    let both = [named("ninon-system", "a", "{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}"), policy("{rules: [{}]}")];
    assert!(request(&both.concat(), &web()));
    assert!(!request(&both.concat(), &Caller { method: "PUT", ..web() }));
}

#[test]
fn an_audit_changes_no_answer() {
    let audit = policy("{action: AUDIT, rules: [{}]}");
    let judge = Judge::of(&audit);
    assert_eq!((judge.filters(WEB), judge.filters(TCP)), (1, 1));
    assert!(judge.request(&nobody()).is_ok() && judge.connection(&nobody()).is_ok());
    assert_eq!(judge.audited(&nobody()), ["ns[shop]-policy[p]-rule[0]"]);
    let with_deny = [audit, named("shop", "d", "{action: DENY, rules: [{}]}")].concat();
    assert!(!request(&with_deny, &web()));
    assert_eq!(Judge::of(&with_deny).audited(&web()), ["ns[shop]-policy[p]-rule[0]"]);
    assert_eq!(Judge::of(&policy("{action: AUDIT}")).filters(WEB), 0);
}

/// A rule's part, and callers that fit and that do not.
fn fits(rule: &str, good: &[Caller], bad: &[Caller]) {
    let (allow, deny) = (policy(&format!("{{rules: [{rule}]}}")), policy(&format!("{{action: DENY, rules: [{rule}]}}")));
    for (callers, fit) in [(good, true), (bad, false)] {
        for caller in callers {
            assert_eq!(request(&allow, caller), fit, "ALLOW {rule}: {caller:?}");
            assert_eq!(request(&deny, caller), !fit, "DENY {rule}: {caller:?}");
        }
    }
}

fn as_who(principal: &'static str) -> Caller {
    Caller { principal: Some(principal), ..Caller::default() }
}

#[test]
fn who_it_is() {
    let bank = || as_who("spiffe://cluster.local/ns/bank/sa/web");
    let long = || as_who("spiffe://cluster.local/ns/shop/sa/web2");
    let shopping = || as_who("spiffe://cluster.local/ns/shopping/sa/web");
    let source = |what: &str| format!("{{from: [{{source: {{{what}}}}}]}}");
    fits(&source("principals: [cluster.local/ns/shop/sa/web]"), &[web()], &[nobody(), bank(), long()]);
    fits(&source("principals: ['*']"), &[web(), bank()], &[nobody()]);
    fits(&source("principals: [cluster.local/ns/shop/*]"), &[web(), long()], &[nobody(), bank(), shopping()]);
    fits(&source("principals: ['*/sa/web']"), &[web(), bank()], &[nobody(), long()]);
    fits(&source("namespaces: [shop]"), &[web(), long()], &[nobody(), bank(), shopping()]);
    fits(&source("namespaces: [shop*]"), &[web(), shopping()], &[nobody(), bank()]);
    fits(&source("namespaces: ['*ing']"), &[shopping()], &[nobody(), web()]);
    fits(&source("namespaces: ['*']"), &[web(), bank()], &[nobody()]);
    fits(&source("serviceAccounts: [web]"), &[web()], &[nobody(), bank(), long()]);
    fits(&source("serviceAccounts: [bank/web]"), &[bank()], &[nobody(), web()]);
    fits(&source("principals: ['*'], namespaces: [shop], notPrincipals: ['*/sa/web2']"), &[web()], &[nobody(), bank(), long()]);
    fits("{from: [{source: {namespaces: [bank]}}, {source: {serviceAccounts: [web]}}]}", &[web(), bank()], &[nobody(), long()]);
    fits("{when: [{key: source.principal, values: [cluster.local/ns/shop/sa/web]}]}", &[web()], &[nobody(), bank()]);
    fits("{when: [{key: source.namespace, values: [shop]}]}", &[web()], &[nobody(), bank()]);
    fits("{when: [{key: source.serviceAccount, values: [shop/web]}]}", &[web()], &[nobody(), bank()]);
}

/// Who shows no certificate is none of those who are not meant: he is denied for that, and never allowed.
#[test]
fn nobody_is_not_allowed_for_being_nobody() {
    for rule in [
        "{from: [{source: {notPrincipals: [cluster.local/ns/shop/sa/web]}}]}",
        "{from: [{source: {notNamespaces: [shop]}}]}",
        "{from: [{source: {notServiceAccounts: [web]}}]}",
        "{when: [{key: source.principal, notValues: [cluster.local/ns/shop/sa/web]}]}",
    ] {
        let (allow, deny) = (policy(&format!("{{rules: [{rule}]}}")), policy(&format!("{{action: DENY, rules: [{rule}]}}")));
        let bank = as_who("spiffe://cluster.local/ns/bank/sa/x");
        assert_eq!([&web(), &bank, &nobody()].map(|caller| request(&allow, caller)), [false, true, false], "ALLOW {rule}");
        assert_eq!([&web(), &bank, &nobody()].map(|caller| request(&deny, caller)), [true, false, false], "DENY {rule}");
        assert_eq!([&web(), &bank, &nobody()].map(|caller| connection(&allow, caller)), [false, true, false], "ALLOW {rule}");
        assert_eq!([&web(), &bank, &nobody()].map(|caller| connection(&deny, caller)), [true, false, false], "DENY {rule}");
    }
}

#[test]
fn what_is_done() {
    let operation = |what: &str| format!("{{to: [{{operation: {{{what}}}}}]}}");
    let [path, method, host] = [
        |path: &'static str| Caller { path, ..nobody() },
        |method: &'static str| Caller { method, ..nobody() },
        |host: &'static str| Caller { host, ..nobody() },
    ];
    fits(&operation("methods: [GET, 'P*']"), &[method("GET"), method("PUT"), method("POST")], &[method("DELETE"), method("get")]);
    fits(&operation("notMethods: [GET]"), &[method("PUT")], &[method("GET")]);
    fits(&operation("paths: [/a]"), &[path("/a")], &[path("/a/b"), path("/ab"), path("/A")]);
    fits(&operation("paths: [/a/*]"), &[path("/a/b"), path("/a/")], &[path("/a"), path("/b")]);
    fits(&operation("paths: ['*.json']"), &[path("/a/b.json")], &[path("/a/b.jsonp")]);
    fits(&operation("paths: ['*']"), &[path("/a"), path("/")], &[]);
    fits(&operation("notPaths: [/a*]"), &[path("/b")], &[path("/a"), path("/ab")]);
    fits(&operation("paths: ['/a/{*}/c']"), &[path("/a/b/c")], &[path("/a/c"), path("/a/b/b/c")]);
    fits(&operation("paths: ['/a/{**}']"), &[path("/a/b"), path("/a/b/c")], &[path("/b")]);
    fits(&operation("paths: [/caf%C3%A9]"), &[path("/caf%C3%A9"), path("/caf%c3%a9")], &[path("/cafe")]);
    fits(&operation("paths: [/caf%c3%a9*]"), &[path("/caf%C3%A9/a")], &[path("/CAF%C3%A9")]);
    fits(
        &operation("hosts: [cart.shop]"),
        &[host("cart.shop"), host("Cart.Shop:8080"), host("cart.shop.")],
        &[host("cartxshop"), host("xcart.shop")],
    );
    fits(&operation("hosts: ['cart.shop:80']"), &[host("cart.shop:80")], &[host("cart.shop"), host("cart.shop:8080")]);
    fits(&operation("hosts: ['*.shop']"), &[host("cart.shop"), host("a.b.shop:1")], &[host("shop"), host("cart.shop.evil")]);
    fits(&operation("notHosts: [cart.*]"), &[host("web.shop")], &[host("CART.shop")]);
    fits(&operation("ports: ['8080']"), &[nobody()], &[]);
    fits(&operation("ports: ['9090']"), &[], &[nobody()]);
    fits(&operation("notPorts: ['9090']"), &[nobody()], &[]);
    fits(&operation("methods: [GET], paths: [/a]"), &[path("/a")], &[path("/b"), Caller { method: "PUT", path: "/a", ..nobody() }]);
    fits("{to: [{operation: {paths: [/a]}}, {operation: {methods: [PUT]}}]}", &[path("/a"), method("PUT")], &[path("/b")]);
}

#[test]
fn what_else_has_to_be_so() {
    let with = |header: (&'static str, &'static str)| Caller { headers: vec![header], ..nobody() };
    let when = |what: &str| format!("{{when: [{{{what}}}]}}");
    fits(&when("key: 'request.headers[X-Role]', values: [admin]"), &[with(("x-role", "admin"))], &[nobody(), with(("x-role", "user"))]);
    fits(&when("key: 'request.headers[x-role]', values: ['*']"), &[with(("x-role", "user"))], &[nobody()]);
    fits(&when("key: 'request.headers[x-role]', notValues: [admin]"), &[nobody(), with(("x-role", "user"))], &[with(("x-role", "admin"))]);
    let from = |ip: &str| Caller { ip: ip.parse().unwrap(), ..nobody() };
    fits(&when("key: source.ip, values: [10.1.0.0/16]"), &[from("10.1.2.3")], &[from("10.2.0.1"), from("fd00::1")]);
    fits(&when("key: source.ip, notValues: ['fd00::/8']"), &[from("10.1.2.3")], &[from("fd00::1")]);
    fits("{from: [{source: {ipBlocks: [10.1.2.3]}}]}", &[from("10.1.2.3")], &[from("10.1.2.4")]);
    fits(&when("key: destination.ip, values: [10.0.0.0/8]"), &[nobody()], &[]);
    fits(&when("key: destination.port, values: ['1']"), &[], &[nobody()]);
    let asks = |sni| Caller { sni, ..nobody() };
    fits(&when("key: connection.sni, values: ['*.example']"), &[asks("a.example")], &[nobody(), asks("a.test")]);
    let two = "{when: [{key: source.ip, values: [10.1.2.3]}, {key: 'request.headers[a]', values: [b]}]}";
    fits(two, &[Caller { headers: vec![("a", "b")], ..from("10.1.2.3") }], &[from("10.1.2.3"), with(("a", "b"))]);
}

#[test]
fn of_a_connection_nobody_knows_its_requests() {
    let mixed = "{from: [{source: {serviceAccounts: [web]}}], to: [{operation: {paths: [/a], ports: ['5432']}}]}";
    assert!(!connection(&policy(&format!("{{rules: [{mixed}]}}")), &web()), "what allows some requests does not allow it");
    let deny = policy(&format!("{{action: DENY, rules: [{mixed}]}}"));
    assert!(!connection(&deny, &web()), "what denies some requests denies it");
    assert!(connection(&deny, &nobody()), "the rest decides");
    let elsewhere = mixed.replace("5432", "80");
    assert!(connection(&policy(&format!("{{action: DENY, rules: [{elsewhere}]}}")), &web()));
    let by_header = "{action: DENY, rules: [{when: [{key: 'request.headers[a]', values: [b]}]}]}";
    assert!(!connection(&policy(by_header), &nobody()));
    let whole = "{rules: [{to: [{operation: {methods: [GET]}}]}, {from: [{source: {serviceAccounts: [web]}}]}]}";
    assert!(connection(&policy(whole), &web()), "another rule allows it");
    // A rule whose operations are not all of requests is as a whole one that asks for requests.
    let either = "{rules: [{to: [{operation: {methods: [GET]}}, {operation: {ports: ['5432']}}]}]}";
    assert!(!connection(&policy(either), &web()));
}

#[test]
fn ports_that_nobody_names_are_guarded_too_and_so_is_every_chain() {
    let judge = Judge::redirected(&policy("{rules: [{from: [{source: {principals: ['*']}}]}]}"));
    assert_eq!(judge.chains(), judge.guarded_chains(), "but for the one that leads nowhere");
    assert!(judge.chains() >= 6, "{}: with mutual TLS and without, of two ports and all others", judge.chains());
}

#[test]
fn a_rule_about_server_names_has_them_looked_at_and_waited_for_where_all_is_tls() {
    let mode = |spec: &str| {
        let kind = "apiVersion: ninon.dev/v1alpha1\nkind: PeerAuthentication";
        format!("---\n{kind}\nmetadata: {{name: a, namespace: shop}}\nspec: {spec}\n")
    };
    let asks = policy("{action: DENY, rules: [{when: [{key: connection.sni, values: [a]}]}]}");
    let (strict, permissive, disable) = ("{mtls: {mode: STRICT}}", "{mtls: {mode: PERMISSIVE}}", "{mtls: {mode: DISABLE}}");
    let one = "{selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}, portLevelMtls: {'8080': {mode: DISABLE}}}";
    let (go_on, wait) = (Some(500), None);
    // On two ports of their own, and on one for all. A server may speak first where not all is TLS.
    for (spec, own, redirected) in
        [(strict, [wait, wait], wait), (permissive, [go_on, go_on], go_on), (disable, [go_on, go_on], go_on), (one, [wait, go_on], go_on)]
    {
        let policies = [mode(spec), asks.clone()].concat();
        assert_eq!(Judge::of(&policies).looks_into_tls(), own, "{spec}");
        assert_eq!(Judge::redirected(&policies).looks_into_tls(), [redirected], "{spec}");
    }
    // Where nothing else asks for it, nobody looks.
    assert_eq!(Judge::of(&[mode(strict), policy("{}")].concat()).looks_into_tls(), []);
    assert_eq!(Judge::of(&[mode(permissive), policy("{}")].concat()).looks_into_tls(), [go_on, go_on]);
}
