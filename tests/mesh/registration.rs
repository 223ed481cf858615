use std::fs;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use ninon_tests::control_plane::Dialect;
use ninon_tests::eventually::eventually;
use ninon_tests::named::Named;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{envoy, ports, proxy};
use serde_json::{Value, json};

use crate::load::{Load, Tally};
use crate::world::{LIMIT, Program, Sidecar, World, bootstrap, until};

/// A sidecar ends, dies, or loses its control plane.
mod ends;
/// Who is not registered.
mod refused;
/// Control planes that share a store.
mod replicas;

/// Short enough that all of them pass in a test, long enough that each is seen on a crowded machine.
const TIMES: [&str; 6] = ["--registration-grace", "3s", "--registration-drain", "3s", "--registration-orphan-grace", "8s"];

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
";

/// A sidecar that shows a token, and the application beside it.
struct Registrant {
    process: Process,
    admin: u16,
    _application: Named,
}

/// What a registrant is.
struct Plan<'a> {
    program: Program,
    dialect: Dialect,
    servers: &'a [u16],
    token: &'a str,
    workload: &'a str,
    /// What its application answers.
    answer: &'a str,
    namespace: &'a str,
}

impl<'a> Plan<'a> {
    fn of(world: &World, token: &'a str, workload: &'a str, answer: &'a str, servers: &'a mut Vec<u16>) -> Self {
        servers.push(world.xds);
        Self { program: Program::Ninon, dialect: Dialect::Delta, servers, token, workload, answer, namespace: "shop" }
    }
}

impl Registrant {
    /// Starts one, and waits for nothing.
    async fn launch(plan: &Plan<'_>) -> Self {
        let application = Named::start(plan.answer).await;
        let (admin, inbound, outbound) = (ports::free(), ports::free(), ports::free());
        let mut file = bootstrap(plan.servers, plan.dialect, plan.workload, admin);
        let metadata = file["node"]["metadata"].as_object_mut().unwrap();
        metadata.insert("NAMESPACE".to_owned(), json!(plan.namespace));
        metadata.insert("LABELS".to_owned(), json!({"app": "cart"}));
        metadata.insert("PORTS".to_owned(), json!([{"name": "http", "port": inbound, "applicationPort": application.port}]));
        metadata.insert("SIDECAR".to_owned(), json!({"outbound": format!("127.0.0.1:{outbound}")}));
        for service in file["dynamic_resources"]["ads_config"]["grpc_services"].as_array_mut().unwrap() {
            service["initial_metadata"] = json!([{"key": "authorization", "value": format!("Bearer {}", plan.token)}]);
        }
        let folder = Folder::new();
        let path = folder.path().join("bootstrap.json");
        fs::write(&path, file.to_string()).unwrap();
        let command = match plan.program {
            Program::Envoy => envoy::command(&path),
            Program::Ninon => proxy::command(&path),
        };
        Self { process: Process::start(command, folder).unwrap(), admin, _application: application }
    }

    async fn start(plan: &Plan<'_>) -> Self {
        let mut registrant = Self::launch(plan).await;
        registrant.process.wait_until_ready(registrant.admin).await.unwrap_or_else(|problem| panic!("{}: {problem}", plan.workload));
        registrant
    }

    /// A `ninon-proxy` at one control plane.
    async fn ninon(world: &World, token: &str, workload: &str, answer: &str) -> Self {
        Self::start(&Plan::of(world, token, workload, answer, &mut Vec::new())).await
    }

    fn terminate(&self) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.process.id())).status();
        assert!(sent.unwrap().success());
    }

    async fn ended(&mut self) -> ExitStatus {
        self.process.ended(LIMIT).await.expect("it ends")
    }

    async fn log_holds(&self, text: &str) {
        let holds = || async { self.process.log().contains(text).then_some(()) };
        eventually(LIMIT, holds).await.unwrap_or_else(|| panic!("the log does not hold {text:?}: {}", self.process.log()));
    }
}

fn token(world: &World) -> String {
    world.does(&["token", "create", "--namespace", "shop"]).trim().to_owned()
}

/// A control plane with the service, and a client of it beside the workload `web`.
async fn with_client(program: Program, dialect: Dialect) -> (World, Sidecar, u16) {
    let world = World::start_with(&TIMES).await;
    let (sidecar, outbound) = client(&world, program, dialect).await;
    (world, sidecar, outbound)
}

async fn client(world: &World, program: Program, dialect: Dialect) -> (Sidecar, u16) {
    let outbound = ports::free();
    world.write("cart.yaml", SERVICE);
    world.write(
        "web.yaml",
        &format!(
            "apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: web, namespace: shop}}\nspec:\n  addresses: [127.0.0.1]\n  sidecar: {{outbound: '127.0.0.1:{outbound}'}}\n"
        ),
    );
    (Sidecar::start(world, program, dialect, "web").await, outbound)
}

/// Registered workloads, as `NAME STATE`.
fn registered(world: &World) -> Vec<String> {
    let shown: Value = serde_json::from_str(&world.does(&["get", "workloads", "-A", "-o", "json"])).unwrap();
    let items = shown["items"].as_array().unwrap().iter().filter(|item| item["status"]["source"] == "registration");
    items.map(|item| format!("{} {}", text(&item["metadata"]["name"]), text(&item["status"]["state"]))).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn until_registered(world: &World, wanted: &[&str]) {
    until_registered_within(LIMIT, world, wanted).await;
}

async fn until_registered_within(limit: Duration, world: &World, wanted: &[&str]) {
    let look = || async { (registered(world) == wanted).then_some(()) };
    let found = eventually(limit, look).await;
    found.unwrap_or_else(|| panic!("{wanted:?} is to be registered, not {:?}: {}", registered(world), world.log()));
}

/// Waits until these answers come and no others; until then none may fail but for so many.
async fn until_only(load: &Load, answers: &[&str], may_fail: usize) {
    let mut failed = 0;
    for _ in 0..200 {
        load.seen();
        load.answers(100).await;
        let seen = load.seen();
        failed += failures(&seen);
        assert!(failed <= may_fail, "{failed}: {seen:?}");
        if answers.iter().all(|answer| seen.contains_key(*answer)) && seen.keys().all(|seen| answers.contains(&seen.as_str())) {
            return;
        }
    }
    panic!("{answers:?} do not come");
}

fn failures(seen: &Tally) -> usize {
    seen.iter().filter(|(answer, _)| !answer.starts_with("200 ")).map(|(_, count)| count).sum()
}

async fn joins(program: Program, dialect: Dialect, client: Program) {
    let (world, _web, outbound) = with_client(client, Dialect::Delta).await;
    let token = token(&world);
    let mut servers = Vec::new();
    let plan = Plan { program, dialect, ..Plan::of(&world, &token, "cart-1", "v1", &mut servers) };
    let _cart = Registrant::start(&plan).await;
    until(outbound, "/", "cart.shop", (200, "v1")).await;
    assert_eq!(registered(&world), ["cart-1 serving"]);
    let table = world.does(&["get", "workloads", "-n", "shop"]);
    assert!(table.lines().any(|line| line.starts_with("cart-1 ") && line.contains(" registered ")), "{table}");
    assert!(table.lines().any(|line| line.starts_with("web ") && line.contains(" written ")), "{table}");
    world.are_synced(2).await;
    world.is_accepted_by_all().await;
    let refused = world.ninon(&["delete", "workload", "cart-1", "-n", "shop"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("is registered by its sidecar"));

    // What an operator writes counts, as long as it is there.
    let other = Named::start("v2").await;
    world.apply(&format!(
        "apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: cart-1, namespace: shop, labels: {{app: cart}}}}\nspec:\n  addresses: [127.0.0.1]\n  ports: [{{name: http, port: {}}}]\n",
        other.port
    ));
    until(outbound, "/", "cart.shop", (200, "v2")).await;
    assert!(world.does(&["get", "workload", "cart-1", "-n", "shop", "-o", "yaml"]).contains("and this object counts"));
    world.does(&["delete", "workload", "cart-1", "-n", "shop"]);
    until(outbound, "/", "cart.shop", (200, "v1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_joins_a_mesh_of_envoy() {
    joins(Program::Ninon, Dialect::Delta, Program::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_joins_a_mesh_of_ninon() {
    joins(Program::Envoy, Dialect::Sotw, Program::Ninon).await;
}
