//! Two hundred changes, one in five of them wrong, under load: what answers is what the objects say, or said a moment ago, and in the
//! end every proxy has what a fresh start would give it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fastrand::Rng;
use ninon_tests::control_plane::Dialect;
use ninon_tests::eventually::eventually;
use ninon_tests::named::Named;
use ninon_tests::{ports, settings};
use serde_json::Value;

use crate::load::Load;
use crate::world::{LIMIT, Program, Sidecar, World, get};

/// So many changes may follow one another before all of them are waited for.
const BURST: u32 = 5;
const SERVICES: [&str; 4] = ["a", "b", "c", "d"];
/// Services that only say how far the proxies are.
const MARKS: [&str; 2] = ["mark-file", "mark-api"];
/// Workloads of each service.
const WORKLOADS: usize = 3;

/// What the objects say.
struct Mesh {
    /// Written in files.
    workloads: Workloads,
    /// Applied.
    route: Option<Route>,
}

/// Which workloads of each service there are, and whether they are ready; one always is.
type Workloads = [[Option<bool>; WORKLOADS]; SERVICES.len()];

/// What the objects said since all of it was last waited for. Between a file and the API there is no order: a file that was written is
/// read some milliseconds later, when what was applied after it may have been told already.
struct Lately {
    workloads: Vec<Workloads>,
    routes: Vec<Option<Route>>,
}

impl Lately {
    fn new(mesh: &Mesh) -> Self {
        Self { workloads: vec![mesh.workloads], routes: vec![mesh.route.clone()] }
    }

    fn note(&mut self, mesh: &Mesh) {
        self.workloads.push(mesh.workloads);
        self.routes.push(mesh.route.clone());
    }

    /// What a client of `a` may be answered.
    fn answers(&self) -> BTreeSet<String> {
        let of = |workloads: &Workloads| self.routes.iter().flat_map(|route| answers(workloads, route.as_ref())).collect::<Vec<_>>();
        self.workloads.iter().flat_map(of).collect()
    }
}

#[derive(Clone)]
struct Route {
    /// Services by number, and their weights; a service that is not there is the last.
    backends: Vec<(usize, u32)>,
    retry: bool,
    headers: bool,
}

const POLICIES: [&str; 4] = [
    "loadBalancer: {policy: RoundRobin}",
    "loadBalancer: {policy: Random}\n  limits: {maxConnections: 2000, maxRequests: 2000}",
    "connectTimeout: 2s\n  idleTimeout: 30s",
    "loadBalancer: {policy: LeastRequest}\n  requestTimeout: 9s",
];

/// What a client of `a` is answered.
fn answers(workloads: &Workloads, route: Option<&Route>) -> BTreeSet<String> {
    let whole = Route { backends: vec![(0, 1)], retry: false, headers: false };
    let named = route.unwrap_or(&whole).backends.iter().filter(|(_, weight)| *weight > 0);
    let answers = named.flat_map(|(service, _)| match workloads.get(*service) {
        None => vec!["500 ".to_owned()],
        Some(workloads) => {
            let ready = workloads.iter().enumerate().filter(|(_, ready)| **ready == Some(true));
            ready.map(|(at, _)| format!("200 {}{at}", SERVICES[*service])).collect()
        }
    });
    answers.collect()
}

impl Mesh {
    fn answers(&self) -> BTreeSet<String> {
        answers(&self.workloads, self.route.as_ref())
    }

    fn files(&self, service: usize, ports: &[u16]) -> String {
        let name = SERVICES[service];
        let mut text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  selector: {{app: {name}}}\n  ports: [{{name: http, port: 80, targetPort: http}}]\n"
        );
        for (at, ready) in self.workloads[service].iter().enumerate() {
            let Some(ready) = ready else { continue };
            write!(
                text,
                "---\napiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}{at}, namespace: shop, labels: {{app: {name}}}}}\nspec:\n  addresses: [127.0.0.1]\n  ready: {ready}\n  ports: [{{name: http, port: {}}}]\n",
                ports[at]
            )
            .unwrap();
        }
        text
    }
}

impl Route {
    fn object(&self) -> String {
        let mut text = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a, namespace: shop}\nspec:\n  parentRefs: [{group: '', kind: Service, name: a, port: 80}]\n  rules:\n  - backendRefs:\n".to_owned();
        for (service, weight) in &self.backends {
            let name = SERVICES.get(*service).unwrap_or(&"gone");
            writeln!(text, "    - {{name: {name}, port: 80, weight: {weight}}}").unwrap();
        }
        if self.retry {
            text.push_str("    retry: {attempts: 3, codes: [503]}\n");
        }
        if self.headers {
            text.push_str("    filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-a, value: b}]}}]\n");
        }
        text
    }
}

struct Changes {
    random: Rng,
    ports: Vec<Vec<u16>>,
}

/// What an operator does.
enum Act {
    /// Writes the file of a service.
    Write(usize, String),
    /// Writes one that is wrong. What stays is what was read before, so that is waited for: the workloads, and whether they are ready.
    WriteWrong(usize, String, BTreeMap<String, bool>),
    /// Applies an object.
    Apply(String),
    /// Applies an object that is wrong.
    ApplyWrong(String),
    /// Deletes the route.
    Delete,
}

impl Act {
    async fn carry_out(&self, world: &World) {
        match self {
            Self::Write(service, text) => world.write(&format!("{}.yaml", SERVICES[*service]), text),
            Self::WriteWrong(service, text, before) => {
                let name = SERVICES[*service];
                let is_read = || std::future::ready((workloads(world, name) == *before).then_some(()));
                eventually(LIMIT, is_read).await.unwrap_or_else(|| panic!("{name}.yaml is not read: {before:?}"));
                world.write(&format!("{name}.yaml"), text);
            }
            Self::Apply(text) => drop(world.apply(text)),
            Self::ApplyWrong(text) => {
                std::fs::write(world.path("wrong.yaml"), text).unwrap();
                let output = world.ninon(&["apply", "-f", "wrong.yaml"]);
                assert_eq!(output.status.code(), Some(1), "{text}: {output:?}");
            }
            Self::Delete => drop(world.does(&["delete", "httproute", "a", "-n", "shop"])),
        }
    }
}

/// The workloads of a service that the control plane knows, and whether they are ready.
fn workloads(world: &World, service: &str) -> BTreeMap<String, bool> {
    let shown = world.does(&["get", "workloads", "-n", "shop", "-l", &format!("app={service}"), "-o", "json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let one = |object: &Value| (object["metadata"]["name"].as_str().unwrap().to_owned(), object["spec"]["ready"].as_bool().unwrap());
    shown["items"].as_array().unwrap().iter().map(one).collect()
}

impl Changes {
    /// One change: what the objects say after it, and what brings it about.
    fn next(&mut self, mesh: &mut Mesh) -> Act {
        match self.random.u8(0..10) {
            0..3 => {
                let service = self.random.usize(..SERVICES.len());
                let workloads = &mut mesh.workloads[service];
                let at = self.random.usize(..WORKLOADS);
                workloads[at] = *self.random.choice(&[None, Some(false), Some(true)]).unwrap();
                if !workloads.contains(&Some(true)) {
                    workloads[(at + 1) % WORKLOADS] = Some(true);
                }
                Act::Write(service, mesh.files(service, &self.ports[service]))
            }
            6 if mesh.route.take().is_some() => Act::Delete,
            7 => {
                let policy = self.random.choice(&POLICIES).unwrap();
                let header = "apiVersion: ninon.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: a, namespace: shop}\nspec:\n  targetRef: {name: a}\n  ";
                Act::Apply(format!("{header}{policy}\n"))
            }
            8 => self.wrong_file(mesh),
            9 => self.wrong_object(),
            _ => {
                let count = self.random.usize(1..=3);
                let services = self.random.choose_multiple(0..=SERVICES.len(), count);
                let mut backends: Vec<(usize, u32)> = services.into_iter().map(|service| (service, self.random.u32(0..5))).collect();
                backends[0].1 = backends[0].1.max(1);
                let route = Route { backends, retry: self.random.bool(), headers: self.random.bool() };
                let object = route.object();
                mesh.route = Some(route);
                Act::Apply(object)
            }
        }
    }

    /// The documents of a service and of its workloads, with something wrong in them or beside them: all that was good stays.
    fn wrong_file(&mut self, mesh: &Mesh) -> Act {
        let service = self.random.usize(..SERVICES.len());
        let good = mesh.files(service, &self.ports[service]);
        let wrong = [
            good.replace("port: 80", "port: 800000"),
            good.replace("metadata:", "metadata: ["),
            good.replace("addresses:", "adresses:"),
            format!("{good}---\nkind: Nothing\napiVersion: v1\nmetadata: {{name: x}}\n"),
            format!("{good}---\n\"\n"),
        ];
        let there =
            mesh.workloads[service].iter().enumerate().filter_map(|(at, ready)| Some((format!("{}{at}", SERVICES[service]), (*ready)?)));
        Act::WriteWrong(service, self.random.choice(wrong).unwrap(), there.collect())
    }

    fn wrong_object(&mut self) -> Act {
        let good = Route { backends: vec![(1, 1)], retry: false, headers: true }.object();
        let wrong = [
            good.replace("port: 80, weight: 1", "port: 0, weight: 1"),
            good.replace("weight: 1", "weight: -1"),
            good.replace("x-a", "x a"),
            good.replace("backendRefs", "backends"),
            good.replace("HTTPRoute", "HTPRoute"),
            "\"".to_owned(),
        ];
        Act::ApplyWrong(self.random.choice(wrong).unwrap())
    }
}

/// Waits until the proxies have everything that was told until now, by file and by the API: the last of both is a route that can be seen.
async fn settles(world: &World, loads: &[(&str, u16, Load)], number: u32) {
    let route = |name: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  parentRefs: [{{group: '', kind: Service, name: {name}, port: 80}}]\n  rules:\n  - matches: [{{path: {{value: /{number}}}}}]\n    filters: [{{type: RequestRedirect, requestRedirect: {{hostname: seen}}}}]\n"
        )
    };
    let service = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  ports: [{{name: http, port: 80}}]\n"
        )
    };
    world.write("marks.yaml", &format!("{}{}{}", route(MARKS[0]), service(MARKS[0]), service(MARKS[1])));
    world.apply(&route(MARKS[1]));
    for (name, port, load) in loads {
        for mark in MARKS {
            let look = || async { get(*port, &format!("/{number}"), mark).await.filter(|(status, _)| *status == 302) };
            eventually(LIMIT, look).await.unwrap_or_else(|| panic!("{name} does not follow: {mark} of change {number}"));
        }
        // Requests that were under way.
        load.answers(16).await;
    }
}

fn check(seen: &crate::load::Tally, allowed: &BTreeSet<String>, what: &str) {
    assert!(seen.keys().all(|seen| allowed.contains(seen)), "{what}: allowed is {allowed:?}, and seen was {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_changes_fail_no_request() {
    let seed = settings::mesh_seed().unwrap_or_else(|| fastrand::u64(..));
    println!("MESH_SEED={seed}");
    let mut servers = Vec::new();
    let mut all_ports = Vec::new();
    for service in SERVICES {
        let mut ports = Vec::new();
        for at in 0..WORKLOADS {
            let server = Named::start(&format!("{service}{at}")).await;
            ports.push(server.port);
            servers.push(server);
        }
        all_ports.push(ports);
    }
    let mut changes = Changes { random: Rng::with_seed(seed), ports: all_ports };
    let mut mesh = Mesh { workloads: [[Some(true), None, None]; SERVICES.len()], route: None };
    let mut world = World::start().await;
    for (service, name) in SERVICES.iter().enumerate() {
        world.write(&format!("{name}.yaml"), &mesh.files(service, &changes.ports[service]));
    }
    let mut sidecars = Vec::new();
    let mut loads = Vec::new();
    for (name, program) in [("ninon", Program::Ninon), ("envoy", Program::Envoy)] {
        let outbound = ports::free();
        world.write(
            &format!("{name}.yaml"),
            &format!("apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  addresses: [127.0.0.1]\n  sidecar: {{outbound: '127.0.0.1:{outbound}'}}\n"),
        );
        sidecars.push(Sidecar::start(&world, program, Dialect::Delta, name).await);
        crate::world::until(outbound, "/", "a", (200, "a0")).await;
        loads.push((name, outbound, Load::start(outbound, "a", "/")));
    }

    let mut lately = Lately::new(&mesh);
    for change in 1..=settings::mesh_changes().unwrap_or(200) {
        let act = changes.next(&mut mesh);
        // What it brings may be seen before it returns.
        lately.note(&mesh);
        act.carry_out(&world).await;
        if change % BURST == 0 {
            settles(&world, &loads, change).await;
        }
        for (name, _, load) in &loads {
            check(&load.seen(), &lately.answers(), &format!("change {change}, {name}"));
        }
        if change % BURST == 0 {
            lately = Lately::new(&mesh);
        }
    }
    settles(&world, &loads, 0).await;
    for (name, _, load) in loads {
        check(&load.seen(), &lately.answers(), name);
        load.answers(100).await;
        check(&load.end().await, &mesh.answers(), name);
    }
    world.are_synced(2).await;
    world.is_accepted_by_all().await;
    // All documents are good again: a fresh control plane knows what this one knew.
    for (service, name) in SERVICES.iter().enumerate() {
        world.write(&format!("{name}.yaml"), &mesh.files(service, &changes.ports[service]));
    }
    world.are_synced(2).await;
    // A fresh start says the same: what the proxies have by version is all there is, and nothing is sent.
    world.kill();
    world.serve().await;
    world.are_synced(2).await;
    assert_eq!((world.metric("ninon_xds_resources_sent_total").await, world.metric("ninon_xds_resources_removed_total").await), (0.0, 0.0));
    drop(sidecars);
}
