use std::fmt::Write as _;
use std::process::Command;

use ninon_tests::eventually::eventually;
use ninon_tests::named;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, settings};
use serde_json::{Value, json};

use crate::objects::{service, workload};
use crate::shop::{Shop, policy};
use crate::world::{LIMIT, Program};

pub(super) const ISSUER: &str = "https://issuer.example";

/// Somebody who issues tokens, with keys of his own.
pub(super) struct Issuer {
    pub(super) port: u16,
    _process: Process,
}

impl Issuer {
    pub(super) async fn start() -> Self {
        let (port, folder) = (ports::free(), Folder::new());
        let mut command = Command::new(settings::clients_python());
        command.arg(settings::tests_dir().join("mesh/issuer.py")).arg(port.to_string()).arg(folder.path());
        let process = Process::start(command, folder).unwrap();
        let serves = || async { named::get(port, "/keys", "host: issuer\r\n", LIMIT).await };
        assert!(eventually(LIMIT, serves).await.is_some(), "no issuer: {}", process.log());
        Self { port, _process: process }
    }

    async fn asks(&self, path: &str) -> String {
        let (status, body) = named::get(self.port, path, "host: issuer\r\n", LIMIT).await.unwrap();
        assert_eq!(status, 200, "{path}");
        body
    }

    /// A token for the shop, with these claims as well or instead.
    pub(super) async fn token(&self, claims: Value) -> String {
        let mut all = json!({"iss": ISSUER, "sub": "ada", "aud": "shop", "exp": 4_000_000_000_u64});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let mut query = String::new();
        all.to_string().bytes().for_each(|byte| write!(query, "%{byte:02x}").unwrap());
        self.asks(&format!("/sign?{query}")).await
    }
}

pub(super) fn authentication(spec: &str) -> String {
    format!("---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: web, namespace: shop}}\nspec: {spec}\n")
}

const OFTEN: &str = "apiVersion: ninon.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: mesh}\nspec: {jwksRefreshInterval: 1s}\n";

/// A good token passes, one that is not good does not, and policies go by what tokens say.
async fn tokens_are_looked_at(program: Program) {
    let (issuer, forger) = (Issuer::start().await, Issuer::start().await);
    let rule = format!(
        "{{issuer: '{ISSUER}', audiences: [shop], jwksUri: 'http://127.0.0.1:{}/keys', outputClaimToHeaders: [{{header: x-user, claim: sub}}]}}",
        issuer.port
    );
    let shop = Shop::start(program, &[OFTEN, &authentication(&format!("{{jwtRules: [{rule}]}}"))].concat()).await;
    let ada = issuer.token(json!({})).await;
    shop.becomes("/", &ada, 200).await;
    assert_eq!(shop.status("/", "").await, 200, "nobody asks for a token yet");
    let forged = forger.token(json!({})).await;
    let unsigned = &ada[..=ada.rfind('.').unwrap()];
    let bob = issuer.token(json!({"sub": "bob"})).await;
    let altered = format!("{}{}", &bob[..bob.rfind('.').unwrap()], &ada[ada.rfind('.').unwrap()..]);
    let (expired, foreign) = (issuer.token(json!({"exp": 1_000_000_000})).await, issuer.token(json!({"iss": "https://other"})).await);
    for bad in [forged.as_str(), unsigned, &altered, &expired, &foreign, "x"] {
        assert_eq!(shop.status("/", bad).await, 401, "{bad}");
    }
    let for_bank = issuer.token(json!({"aud": ["bank"]})).await;
    assert_eq!(shop.status("/", &for_bank).await, 403, "it is for somebody else");

    let anybody = policy("anybody", &format!("{{rules: [{{from: [{{source: {{requestPrincipals: ['{ISSUER}/*']}}}}]}}]}}"));
    let admin = "{action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}], when: [{key: 'request.auth.claims[groups]', notValues: [admin]}]}]}";
    let told =
        "{action: DENY, rules: [{to: [{operation: {paths: [/told]}}], when: [{key: 'request.headers[x-user]', values: [ada, mallory]}]}]}";
    let not_bob = policy("bob", &format!("{{action: DENY, rules: [{{from: [{{source: {{requestPrincipals: ['{ISSUER}/bob']}}}}]}}]}}"));
    shop.world.write("policies.yaml", &[anybody, policy("admin", admin), policy("told", told), not_bob].concat());
    shop.becomes("/", "", 403).await;
    let groups = |groups: Value| issuer.token(json!({"groups": groups}));
    let (of_admins, of_others) = (groups(json!(["staff", "admin"])).await, groups(json!("staff")).await);
    for (path, token, wanted) in [
        ("/", ada.as_str(), 200),
        ("/admin", &ada, 403),
        ("/admin", &of_others, 403),
        ("/admin", &of_admins, 200),
        ("/", &bob, 403),
        ("/", &forged, 401),
        ("/", &for_bank, 403),
    ] {
        assert_eq!(shop.status(path, token).await, wanted, "{path} {token}");
    }
    // The application is told who it is by the token, and by nobody else.
    let carol = issuer.token(json!({"sub": "carol"})).await;
    assert_eq!((shop.status("/told", &ada).await, shop.asks("/told", &carol, "x-user: mallory\r\n").await), (403, 200));
    let conditions = shop.world.does(&["get", "ra", "web", "-n", "shop", "-o", "yaml"]);
    assert!(conditions.contains("reason: Accepted") && conditions.contains("reason: Enforced"), "{conditions}");
    let table = shop.world.does(&["get", "requestauthentications", "-n", "shop"]);
    assert!(table.contains("ISSUERS") && table.contains(ISSUER), "{table}");

    // Another key: what is signed with it is good soon, and what was signed with the one before is not any more.
    issuer.asks("/rotate").await;
    let renewed = issuer.token(json!({})).await;
    shop.becomes("/", &renewed, 200).await;
    shop.becomes("/", &ada, 401).await;
    shop.world.is_accepted_by_all().await;
    // Without its server the last keys go on to verify, and nothing that they do not.
    drop(issuer);
    for _ in 0..3 {
        let later = forger.token(json!({})).await;
        assert_eq!((shop.status("/", &renewed).await, shop.status("/", &later).await), (200, 401));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_looks_at_tokens() {
    tokens_are_looked_at(Program::Ninon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_looks_at_tokens() {
    tokens_are_looked_at(Program::Envoy).await;
}

/// Whoever starts with one that it cannot read lets nobody in who might have had a token that it refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_nobody_can_tell_let_nothing_pass() {
    let shop = Shop::start(Program::Ninon, &authentication("{jwtRules: [{issuer: i, jwksUrl: 'http://127.0.0.1:1/keys'}]}")).await;
    assert_eq!((shop.status("/", "").await, shop.status("/", "a.b.c").await), (403, 403));
    let shown = shop.world.does(&["get", "ra", "web", "-n", "shop", "-o", "yaml"]);
    assert!(shown.contains("reason: Invalid"), "{shown}");
    // Keys of a server that is not there verify nothing.
    shop.world.write("objects.yaml", &authentication("{jwtRules: [{issuer: i, jwksUri: 'http://127.0.0.1:1/keys'}]}"));
    shop.becomes("/", "", 200).await;
    assert_eq!(shop.status("/", "a.b.c").await, 401);
    let issuer = Issuer::start().await;
    let token = issuer.token(json!({"iss": "i"})).await;
    assert_eq!(shop.status("/", &token).await, 401);
    // By the name of a service of the mesh, which no DNS knows.
    let of_mesh = authentication("{jwtRules: [{issuer: i, jwksUri: 'http://issuer.shop.svc.cluster.local/keys'}]}");
    shop.world.write("issuer.yaml", &[service("issuer", "http"), workload("issuer-1", "issuer", "http", issuer.port)].concat());
    shop.world.write("objects.yaml", &of_mesh);
    shop.becomes("/", &token, 200).await;
    assert_eq!((shop.status("/", "a.b.c").await, shop.status("/", "").await), (401, 200));
}
