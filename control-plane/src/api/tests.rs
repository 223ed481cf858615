use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::files::FromFile;
use super::*;
use crate::keyfile;
use crate::model::name::Name;
use crate::task::OwnedTask;

/// A running API and its state directory, which is gone afterwards.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) folder: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    server: Option<OwnedTask>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

/// Ports from 1 to 65535, and nothing else, are checked.
pub(crate) fn check(value: &Value) -> Result<(), Vec<Fault>> {
    let ports = value.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten().enumerate();
    let wrong = ports.filter(|(_, port)| !port["port"].as_u64().is_some_and(|port| (1..=65_535).contains(&port)));
    let faults: Vec<_> =
        wrong.map(|(at, port)| Fault::at(format!("spec.ports[{at}].port"), format!("must be 1 to 65535, got {}", port["port"]))).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Services of a file.
fn filed(services: &[(&str, u64)]) -> BTreeMap<Key, Arc<FromFile>> {
    let of_file = |(name, port): &(&str, u64)| {
        let key = Key { kind: Kind::Service, name: Name::new("shop", *name) };
        (key, Arc::new(FromFile::new("/etc/mesh/filed.yaml", service(name, *port))))
    };
    services.iter().map(of_file).collect()
}

fn hooks() -> Hooks {
    let files = Arc::new(Files::default());
    files.replace(filed(&[("filed", 7)]));
    let proxy = |id: &str| Proxy { id: id.to_owned(), synced: true, ..Proxy::default() };
    Hooks {
        validate: Box::new(check),
        files,
        status: Box::new(|key| (&*key.name.name == "with-status").then(|| json!({"conditions": []}))),
        proxies: Box::new(move |()| vec![proxy("web-2"), proxy("web-1")]),
        metrics: Box::new(|()| "ninon_proxies 2\n".to_owned()),
        ..Hooks::default()
    }
}

pub(crate) async fn start() -> Running {
    start_with(hooks(), Limits::default()).await
}

async fn start_with(hooks: Hooks, limits: Limits) -> Running {
    let folder = std::env::temp_dir().join(format!("ninon-api-{}-{:016x}", std::process::id(), fastrand::u64(..)));
    let store = Store::embedded(&folder, crate::store::Limits::default()).await.unwrap();
    let tokens = Tokens::open(&folder).unwrap();
    let joining = token::Tokens::new(store.clone(), token::Signer::new(&keyfile::Key::new([7; 32])));
    let api = Api::new(store, tokens, joining, hooks, limits);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let server = OwnedTask::spawn(serve(listener, api, async { drop(stopped.await) }));
    Running { url, folder, stop: Some(stop), server: Some(server) }
}

/// An answer: status, its headers, and what it says.
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn detail(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], json!(self.status));
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Running {
    fn token(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap().trim().to_owned()
    }

    /// Asks as an administrator; each header is `name: value`.
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let bearer = format!("authorization: Bearer {}", self.token(auth::ADMIN_FILE));
        self.ask_as(method, path, &[&[bearer.as_str()], headers].concat(), body)
    }

    fn ask_as(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut response = self.send(method, path, headers, body);
        let text = tokio::task::block_in_place(|| response.body_mut().read_to_string()).unwrap();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), text }
    }

    fn send(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Response<Body> {
        let config = Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
        let agent: Agent = config.timeout_global(Some(Duration::from_secs(20))).build().into();
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers.iter().filter_map(|header| header.split_once(": ")) {
            request = request.header(name, value);
        }
        let request = request.body(body.to_owned()).unwrap();
        tokio::task::block_in_place(|| agent.run(request)).unwrap()
    }

    fn put(&self, path: &str, object: &Value) -> Answer {
        self.ask("PUT", path, &[], &object.to_string())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// Follows, and tells each event in short: type, name, resourceVersion.
    fn watch(&self, path: &str) -> impl Iterator<Item = (String, String, String)> + use<> {
        let bearer = format!("authorization: Bearer {}", self.token(auth::READ_FILE));
        let response = self.send("GET", path, &[&bearer], "");
        assert_eq!(response.status(), 200);
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        lines.map_while(|line| {
            let event: Value = serde_json::from_str(&line.ok()?).unwrap();
            let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let version = text("/object/metadata/resourceVersion");
            let revision = version.split('.').next().unwrap_or_default().to_owned();
            Some((text("/type"), text("/object/metadata/name"), revision))
        })
    }

    fn listed_version(&self, path: &str) -> String {
        self.get(path).json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.server.take().unwrap().join().await.unwrap();
    }
}

fn service(name: &str, port: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"ports": [{"port": port}]},
    })
}

fn event(kind: &str, name: &str, version: &str) -> (String, String, String) {
    (kind.to_owned(), name.to_owned(), version.to_owned())
}

const WEB: &str = "/api/v1/services/shop/web";

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_created_changed_read_and_deleted() {
    let api = start().await;
    assert_eq!(api.get(WEB).detail(), "Service shop/web does not exist");
    let created = api.put(WEB, &service("web", 80));
    assert_eq!((created.status, created.headers["etag"].to_str().unwrap()), (201, "\"1\""));
    assert_eq!(created.json()["metadata"]["resourceVersion"], "1");
    let changed = api.put(WEB, &service("web", 81));
    assert_eq!((changed.status, &changed.json()["metadata"]["generation"]), (200, &json!(2)));
    let read = api.get(WEB);
    assert_eq!((read.status, &read.json()), (200, &changed.json()));
    let deleted = api.ask("DELETE", WEB, &[], "");
    assert_eq!((deleted.status, &deleted.json()["spec"]), (200, &changed.json()["spec"]));
    assert_eq!(api.get(WEB).status, 404);
    assert_eq!(api.ask("DELETE", WEB, &[], "").status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_yaml_and_need_not_repeat_the_path() {
    let api = start().await;
    let yaml = "spec:\n  ports:\n  - port: 80\n";
    let created = api.ask("PUT", WEB, &["content-type: application/yaml; charset=utf-8"], yaml);
    assert_eq!((created.status, &created.json()["metadata"]["namespace"]), (201, &json!("shop")));
    let other = api.ask("PUT", WEB, &["content-type: text/html"], yaml);
    assert_eq!((other.status, other.detail().contains("text/html")), (415, true));
    let broken = api.ask("PUT", WEB, &["content-type: application/yaml"], "a: [\n");
    assert_eq!((broken.status, broken.detail().as_str()), (400, "the body is not YAML"));
    let two = api.ask("PUT", WEB, &["content-type: application/yaml"], "a: 1\n---\nb: 2\n");
    assert_eq!((two.status, two.detail().contains("one object is expected")), (400, true));
    let elsewhere = api.put(WEB, &service("cart", 80));
    assert_eq!((elsewhere.status, elsewhere.detail().as_str()), (400, "the path is of Service shop/web and the body is Service shop/cart"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_told_with_its_field() {
    let api = start().await;
    let refused = api.put(WEB, &service("web", 0));
    assert_eq!((refused.status, refused.detail().as_str()), (422, "Service shop/web is not valid"));
    assert_eq!(refused.json()["errors"], json!([{"path": "spec.ports[0].port", "problem": "must be 1 to 65535, got 0"}]));
    assert_eq!(api.get("/api/v1/revisions").json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_late_is_told_so() {
    let api = start().await;
    api.put(WEB, &service("web", 80));
    let read = api.get(WEB).json();
    api.put(WEB, &service("web", 81));
    let late = api.put(WEB, &read);
    assert_eq!(late.status, 409);
    assert_eq!(late.detail(), "Service shop/web was changed in the meantime: resourceVersion 1 was expected, it is at 2");
    let by_header = |condition: &str, port| api.ask("PUT", WEB, &[condition], &service("web", port).to_string()).status;
    assert_eq!(by_header("if-match: \"1\"", 82), 409);
    assert_eq!(by_header("if-none-match: *", 82), 409);
    assert_eq!(by_header("if-match: x", 82), 400);
    assert_eq!(by_header("if-match: \"2\"", 82), 200);
    assert_eq!(by_header("if-match: *", 83), 200);
    assert_eq!(api.ask("DELETE", WEB, &["if-match: \"1\""], "").status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing_and_a_misspelt_one_is_refused() {
    let api = start().await;
    let would = api.put(&format!("{WEB}?dryRun=true"), &service("web", 80));
    assert_eq!((would.status, api.get(WEB).status), (201, 404));
    let misspelt = api.put(&format!("{WEB}?dryrun=true"), &service("web", 80));
    assert_eq!((misspelt.status, api.get(WEB).status), (400, 404));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_pages_selectors_and_what_comes_from_files() {
    let api = start().await;
    for name in ["a", "b", "c", "with-status"] {
        api.put(&format!("/api/v1/services/shop/{name}"), &service(name, 80));
    }
    let names = |path: &str| {
        let list = api.get(path).json();
        let items = list["items"].as_array().unwrap().iter();
        (items.map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), list["metadata"]["continue"].clone())
    };
    assert_eq!(names("/api/v1/services").0, ["a", "b", "c", "filed", "with-status"]);
    assert_eq!(names("/api/v1/svc/other").0, Vec::<String>::new());
    assert_eq!(names("/api/v1/services/shop?labelSelector=app%20in%20(a,filed)").0, ["a", "filed"]);
    let (first, more) = names("/api/v1/services/shop?limit=2");
    assert_eq!(first, ["a", "b"]);
    let (second, more) = names(&format!("/api/v1/services/shop?limit=3&continue={}", more.as_str().unwrap()));
    assert_eq!((second, more), (vec!["c".to_owned(), "filed".to_owned(), "with-status".to_owned()], Value::Null));
    assert_eq!(api.get("/api/v1/services/shop?continue=zz").status, 400);
    let list = api.get("/api/v1/services").json();
    assert_eq!((&list["kind"], list["metadata"]["resourceVersion"].as_str().unwrap().len()), (&json!("ServiceList"), "4.".len() + 16));
    assert_eq!(api.get("/api/v1/services/shop/with-status").json()["status"], json!({"conditions": []}));
    assert!(api.get("/api/v1/pods").detail().contains("there are no \"pods\""));
    let filed = api.put("/api/v1/services/shop/filed", &service("filed", 8));
    assert_eq!(
        (filed.status, filed.detail().as_str()),
        (409, "Service shop/filed comes from the file /etc/mesh/filed.yaml; change it there")
    );
    assert_eq!(api.get("/api/v1/services/shop/filed").json()["spec"]["ports"][0]["port"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_without_a_namespace_has_none_in_its_path() {
    let api = start().await;
    let mesh = json!({"apiVersion": "ninon.dev/v1alpha1", "kind": "MeshConfig", "metadata": {"name": "mesh"}, "spec": {}});
    assert_eq!(api.put("/api/v1/meshconfigs/mesh", &mesh).status, 201);
    assert_eq!(api.get("/api/v1/meshconfigs/mesh").json()["metadata"].get("namespace"), None);
    assert_eq!(api.get("/api/v1/meshconfigs/shop/mesh").status, 404);
    assert_eq!(api.get("/api/v1/meshconfigs").json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_objects_are_one_revision_or_none() {
    let api = start().await;
    let yaml = |port: u64| format!("{}\n---\n{}\n", service("web", 80), service("cart", port));
    let apply = |text: &str| api.ask("POST", "/api/v1/apply?message=first&author=ann", &["content-type: application/yaml"], text);
    let refused = apply(&yaml(0));
    assert_eq!((refused.status, &refused.json()["errors"][0]["path"]), (422, &json!("objects[1].spec.ports[0].port")));
    let applied = apply(&yaml(1)).json();
    assert_eq!((&applied["revision"], &applied["results"][1]["result"]), (&json!(1), &json!("created")));
    assert_eq!(apply(&yaml(1)).json()["revision"], Value::Null);
    apply(&yaml(2));
    let revisions = api.get("/api/v1/revisions").json();
    assert_eq!(revisions["items"][0]["author"], "ann (admin)");
    assert_eq!(revisions["items"][0]["changes"], json!([{"kind": "Service", "namespace": "shop", "name": "cart", "change": "configured"}]));
    let whole = api.get("/api/v1/revisions/2").json();
    assert_eq!(whole["changes"][0]["before"]["spec"]["ports"][0]["port"], 1);
    assert_eq!(api.get("/api/v1/revisions/9").status, 404);
    assert_eq!(api.get("/api/v1/revisions?kind=services&namespace=shop&name=web").json()["items"].as_array().unwrap().len(), 1);
    let back = api.ask("POST", "/api/v1/rollback", &[], "{\"revision\": 1}").json();
    assert_eq!((&back["revision"], &back["results"][0]["name"]), (&json!(3), &json!("cart")));
    assert_eq!(api.get("/api/v1/services/shop/cart").json()["spec"]["ports"][0]["port"], 1);
    assert_eq!(api.get("/api/v1/revisions?limit=1").json()["items"][0]["message"], "rollback to revision 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_happens_to_those_who_are_meant() {
    let api = start().await;
    api.put(WEB, &service("web", 80));
    let mut all = api.watch("/api/v1/services/shop?watch=true");
    assert_eq!(all.next(), Some(event("ADDED", "filed", "")));
    assert_eq!(all.next(), Some(event("ADDED", "web", "1")));
    assert_eq!(all.next(), Some(event("BOOKMARK", "", "1")));
    let version = api.listed_version("/api/v1/services");
    let mut cart = api.watch(&format!("/api/v1/services?watch=true&resourceVersion={version}&labelSelector=app=cart"));
    api.put(WEB, &service("web", 81));
    assert_eq!(all.next(), Some(event("MODIFIED", "web", "2")));
    let mut relabelled = service("web", 81);
    relabelled["metadata"]["labels"]["app"] = json!("cart");
    api.put(WEB, &relabelled);
    assert_eq!(cart.next(), Some(event("ADDED", "web", "3")));
    api.put(WEB, &service("web", 81));
    assert_eq!(cart.next(), Some(event("DELETED", "web", "3")));
    api.ask("DELETE", WEB, &[], "");
    assert_eq!(all.nth(2), Some(event("DELETED", "web", "4")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_of_files_as_a_list_would() {
    const SERVICES: &str = "/api/v1/services/shop";
    let files = Arc::new(Files::default());
    let api = start_with(Hooks { files: Arc::clone(&files), ..hooks() }, Limits::default()).await;
    api.put(WEB, &service("web", 80));
    let from = |version: &str| format!("{SERVICES}?watch=true&resourceVersion={version}");
    assert_eq!(api.listed_version(SERVICES), "1", "there are no files");
    let mut all = api.watch(&from("1"));
    // A file hides what is in the store, and what happens to that.
    files.replace(filed(&[("web", 7), ("more", 7)]));
    let next = |watch: &mut dyn Iterator<Item = (String, String, String)>, count| watch.take(count).collect::<Vec<_>>();
    assert_eq!(next(&mut all, 3), [event("ADDED", "more", ""), event("MODIFIED", "web", ""), event("BOOKMARK", "", "1")]);
    api.put("/api/v1/services/shop/cart", &service("cart", 81));
    assert_eq!(next(&mut all, 1), [event("ADDED", "cart", "2")]);
    let both = api.listed_version(SERVICES);
    assert_eq!(api.ask("POST", "/api/v1/rollback", &[], "{\"revision\": 0}").status, 200);
    assert_eq!(next(&mut all, 1), [event("DELETED", "cart", "2")]);
    // The file goes, and what it hid is gone too.
    files.replace(filed(&[("more", 8)]));
    assert_eq!(next(&mut all, 3), [event("MODIFIED", "more", ""), event("DELETED", "web", ""), event("BOOKMARK", "", "3")]);
    api.put(WEB, &service("web", 82));
    files.replace(filed(&[("web", 7)]));
    let rest = [event("ADDED", "web", "4"), event("DELETED", "more", ""), event("MODIFIED", "web", ""), event("BOOKMARK", "", "4")];
    assert_eq!(next(&mut all, 4), rest);
    files.replace(filed(&[]));
    assert_eq!(next(&mut all, 2), [event("MODIFIED", "web", "4"), event("BOOKMARK", "", "4")]);

    // One that was away is told what is different now, whichever came first.
    let told: BTreeMap<_, _> = api.watch(&from(&both)).take(4).map(|(kind, name, _)| (name, kind)).collect();
    let wanted = [("", "BOOKMARK"), ("cart", "DELETED"), ("more", "DELETED"), ("web", "MODIFIED")];
    assert_eq!(told, wanted.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into());
    files.replace(filed(&[("web", 9)]));
    assert_eq!(api.get(&from("4")).status, 410, "a revision alone says nothing of files");
    assert_eq!(api.get(&from("4.0123456789abcdef")).status, 410, "what files held then is not remembered");
    assert_eq!(api.get(&from("4.x")).status, 400);
    assert_eq!(next(&mut api.watch("/api/v1/services/other?watch=true&resourceVersion=4&timeoutSeconds=1"), 1), [], "no file is of that");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_end_in_time_are_bounded_and_end_with_the_api() {
    let mut api = start_with(hooks(), Limits { watches: 1, bookmark: Duration::from_millis(5), ..Limits::default() }).await;
    let mut short = api.watch("/api/v1/services?watch=true&timeoutSeconds=1");
    let bookmarks = tokio::task::block_in_place(|| short.by_ref().count());
    assert!(bookmarks > 2, "{bookmarks}");
    let mut watch = api.watch("/api/v1/services?watch=true");
    assert!(watch.next().is_some());
    let refused = api.get("/api/v1/services?watch=true");
    assert_eq!((refused.status, refused.headers["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(api.get("/api/v1/services?watch=true&resourceVersion=99").status, 404);
    api.stop().await;
    tokio::task::block_in_place(|| watch.for_each(drop));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_they_may_not() {
    let api = start().await;
    assert_eq!(api.ask_as("GET", "/healthz", &[], "").text, "ok\n");
    assert_eq!(api.ask_as("GET", "/readyz", &[], "").text, "ready\n");
    let none = api.ask_as("GET", WEB, &[], "");
    assert_eq!((none.status, none.headers["www-authenticate"].to_str().unwrap()), (401, "Bearer realm=\"ninon\""));
    assert!(none.detail().contains("admin-token"));
    let wrong = format!("authorization: Bearer {}x", api.token(auth::ADMIN_FILE));
    assert_eq!(api.ask_as("GET", WEB, &[&wrong], "").status, 401);
    assert_eq!(api.ask_as("GET", WEB, &["authorization: Basic YTpi"], "").status, 401);
    let read = format!("authorization: Bearer {}", api.token(auth::READ_FILE));
    let read = [read.as_str()];
    assert_eq!(api.ask_as("GET", "/api/v1/services", &read, "").status, 200);
    assert_eq!(api.ask_as("GET", "/metrics", &read, "").text, "ninon_proxies 2\n");
    for (method, path) in [("PUT", WEB), ("DELETE", WEB), ("POST", "/api/v1/apply"), ("POST", "/api/v1/rollback")] {
        let refused = api.ask_as(method, path, &read, "{}");
        assert_eq!((refused.status, refused.detail().contains("the admin token may")), (403, true), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_not_there_is_a_problem_too() {
    let api = start().await;
    for (method, path, status) in
        [("GET", "/", 404), ("POST", WEB, 405), ("PUT", "/api/v1/services/shop", 405), ("GET", "/api/v1/apply", 405)]
    {
        let refused = api.ask(method, path, &[], "{}");
        assert_eq!((refused.status, refused.detail().is_empty()), (status, false), "{method} {path}");
    }
    assert_eq!(api.get("/api/v1/services/shop/%ff").status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_is_refused() {
    let api = start_with(hooks(), Limits { body: 1000, ..Limits::default() }).await;
    let long = api.put(WEB, &json!({"spec": "x".repeat(2000)}));
    assert_eq!((long.status, long.detail().as_str()), (413, "a body may have 1000 bytes at most"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_given_up() {
    use std::io::{Read as _, Write as _};
    let api = start_with(hooks(), Limits { request: Duration::from_millis(200), ..Limits::default() }).await;
    let bearer = api.token(auth::ADMIN_FILE);
    let head = format!("PUT {WEB} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\ncontent-length: 10\r\n\r\n{{");
    let mut stream = std::net::TcpStream::connect(api.url.trim_start_matches("http://")).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    tokio::task::block_in_place(|| stream.read_exact(&mut answer)).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_are_shown_in_order_and_by_their_id() {
    let api = start().await;
    let all = api.get("/api/v1/proxies").json();
    assert_eq!((&all["items"][0]["id"], &all["items"][1]["id"]), (&json!("web-1"), &json!("web-2")));
    assert_eq!(api.get("/api/v1/proxies/web-2").json()["synced"], true);
    assert_eq!(api.get("/api/v1/proxies/web-3").detail(), "no proxy \"web-3\" is connected");
}
