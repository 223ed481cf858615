use std::process::Command;

use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, settings};
use tokio::net::TcpStream;

use crate::objects::{service, workload};
use crate::shop::{Shop, policy};
use crate::world::{LIMIT, Program};

/// Somebody else who decides, by gRPC and by HTTP.
struct Authorizer {
    grpc: u16,
    http: u16,
    _process: Process,
}

impl Authorizer {
    async fn start(grpc: u16, http: u16) -> Self {
        let mut command = Command::new(settings::clients_python());
        command.arg(settings::tests_dir().join("scenarios/authorizer.py")).args([grpc.to_string(), http.to_string()]);
        let process = Process::start(command, Folder::new()).unwrap();
        let listens = || async { TcpStream::connect(("127.0.0.1", grpc)).await.ok() };
        assert!(eventually(LIMIT, listens).await.is_some(), "no authorizer; grpcio is needed:\n{}", process.log());
        Self { grpc, http, _process: process }
    }

    /// The objects that lead to it: one service of the mesh, and one outside.
    fn objects(&self) -> String {
        let external = format!(
            "---\napiVersion: ninon.dev/v1alpha1\nkind: ExternalService\nmetadata: {{name: check, namespace: auth}}\nspec: {{hosts: [check.example], \
             endpoints: [127.0.0.1], ports: [{{port: 80, targetPort: {}, appProtocol: http}}]}}\n",
            self.http
        );
        [service("authz", "grpc"), workload("authz-1", "authz", "grpc", self.grpc), external].concat()
    }
}

const PROVIDERS: &str = "
---
apiVersion: ninon.dev/v1alpha1
kind: MeshConfig
metadata: {name: mesh}
spec:
  extensionProviders:
  - {name: by-grpc, envoyExtAuthzGrpc: {service: authz.shop.svc.cluster.local, port: 80, timeout: 2s}}
  - {name: open, envoyExtAuthzGrpc: {service: shop/authz, port: 80, timeout: 2s, failOpen: true}}
  - name: by-http
    envoyExtAuthzHttp:
      service: auth/check.example
      port: 80
      timeout: 2s
      pathPrefix: /check
      statusOnError: '503'
      includeRequestHeadersInCheck: [x-team]
      headersToUpstreamOnAllow: [x-user]
";

/// Those whose rules fit are asked about, and nobody goes around whoever decides.
async fn somebody_else_decides(program: Program) {
    let authorizer = Authorizer::start(ports::free(), ports::free()).await;
    let (grpc, http) = (authorizer.grpc, authorizer.http);
    let by_grpc = policy(
        "grpc",
        "{action: CUSTOM, selector: {matchLabels: {app: web}}, provider: {name: by-grpc}, rules: [{to: [{operation: {paths: [/api*]}}]}]}",
    );
    let by_http = policy(
        "http",
        "{action: CUSTOM, selector: {matchLabels: {app: web}}, provider: {name: by-http}, rules: [{to: [{operation: {paths: [/pay*, /api/both*]}}]}]}",
    );
    let never = policy("never", "{action: DENY, rules: [{to: [{operation: {paths: [/api/never]}}]}]}");
    let open = policy(
        "open",
        "{action: CUSTOM, selector: {matchLabels: {app: web}}, provider: {name: open}, rules: [{to: [{operation: {paths: [/open*]}}]}]}",
    );
    // Policies behind it see what it answers, as the application does, and not what a client wrote in its place.
    let told = policy(
        "told",
        "{action: DENY, rules: [{when: [{key: 'request.headers[x-user]', values: [mallory]}]}, {to: [{operation: {paths: [/pay/told]}}], \
         when: [{key: 'request.headers[x-user]', values: [ada]}]}]}",
    );
    let policies = [by_grpc, by_http, never, told, open].concat();
    let shop = Shop::start(program, &[PROVIDERS, &authorizer.objects(), &policies].concat()).await;
    shop.becomes("/api/a", "", 200).await;
    for (path, headers, wanted) in [
        ("/", "", 200),
        ("/forbidden", "", 200),
        ("/api/forbidden", "", 403),
        ("/api/a", "x-why: forbidden\r\n", 403),
        ("/%61pi/forbidden", "", 403),
        ("/x/..//api/forbidden", "", 403),
        ("/api/never", "", 403),
        ("/pay", "", 200),
        ("/pay", "x-user: mallory\r\n", 200),
        ("/pay/told", "", 403),
        ("/other", "x-user: mallory\r\n", 403),
        ("/open", "", 200),
        ("/open/forbidden", "", 403),
        ("/pay/forbidden", "", 418),
        ("/pay", "x-team: forbidden\r\n", 418),
        ("/pay", "x-other: forbidden\r\n", 200),
        ("/api/both", "", 200),
        ("/api/both", "x-team: forbidden\r\n", 403),
        ("/api/both", "x-other: forbidden\r\n", 403),
    ] {
        assert_eq!(shop.asks(path, "", headers).await, wanted, "{path} {headers}");
    }
    let shown = shop.world.does(&["get", "ap", "grpc", "-n", "shop", "-o", "yaml"]);
    assert!(shown.contains("reason: Enforced"), "{shown}");
    shop.world.is_accepted_by_all().await;

    // Without whoever decides nothing passes that he has to decide about, and all else does.
    drop(authorizer);
    for (path, wanted) in [("/", 200), ("/forbidden", 200), ("/api/a", 403), ("/pay", 503), ("/open/forbidden", 200)] {
        assert_eq!(shop.status(path, "").await, wanted, "{path}");
    }
    let again = Authorizer::start(grpc, http).await;
    for path in ["/api/a", "/pay", "/api/both"] {
        shop.becomes(path, "", 200).await;
    }
    // Where its service is taken away, or the provider, what it would be asked about is denied.
    for objects in [[PROVIDERS, &policies].concat(), [again.objects().as_str(), &policies].concat()] {
        shop.world.write("objects.yaml", &objects);
        shop.becomes("/api/a", "", 403).await;
        assert_eq!((shop.status("/open", "").await, shop.status("/", "").await), (403, 200));
        let shown = shop.world.does(&["get", "ap", "grpc", "-n", "shop", "-o", "yaml"]);
        assert!(shown.contains("reason: NoProvider"), "{shown}");
        shop.world.write("objects.yaml", &[PROVIDERS, &again.objects(), &policies].concat());
        shop.becomes("/api/a", "", 200).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_asks_whoever_decides() {
    somebody_else_decides(Program::Ninon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_asks_whoever_decides() {
    somebody_else_decides(Program::Envoy).await;
}
