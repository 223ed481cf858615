use std::path::Path;

use clap::{CommandFactory as _, Parser};

use super::*;
use crate::api::tests::{Running, check, start};

/// What stands around the commands in the program.
#[derive(Parser)]
#[command(name = "ninon")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// How a command ended, what it said, and what it said was wrong.
fn run_with(words: &[&str], mut input: &[u8]) -> (Ending, String, String) {
    let arguments = Arguments::try_parse_from(["ninon"].iter().chain(words)).unwrap_or_else(|error| panic!("{error}"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal = Terminal { input: &mut input, out: &mut out, err: &mut err };
    let ending = tokio::task::block_in_place(|| run(&arguments.command, &mut Arguments::command(), &check, &mut terminal));
    (ending, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

impl Running {
    fn run(&self, words: &[&str]) -> (Ending, String, String) {
        self.run_with(words, b"")
    }

    fn run_with(&self, words: &[&str], input: &[u8]) -> (Ending, String, String) {
        let token = self.folder.join("admin-token").display().to_string();
        run_with(&[words, &["--server", &self.url, "--token-file", &token]].concat(), input)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

fn service(name: &str, port: u64) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  labels:\n    app: {name}\nspec:\n  ports:\n  - port: {port}\n")
}

fn done(text: &str) -> (Ending, String, String) {
    (Ending::Done, text.to_owned(), String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_applied_as_kubectl_does() {
    let api = start().await;
    api.file("shop/a.yaml", &format!("{}---\n{}", service("web", 80), service("cart", 81)));
    api.file("shop/deep/b.yml", &service("prices", 82));
    api.file("shop/notes.txt", "no object");
    let folder = api.folder.join("shop").display().to_string();
    assert_eq!(api.run(&["apply", "-f", &folder]), done("service/web created\nservice/cart created\n"));
    let again = "service/web unchanged\nservice/cart unchanged\nservice/prices created\n";
    assert_eq!(api.run(&["apply", "-R", "-f", &folder]), done(again));
    api.file("shop/a.yaml", &service("web", 90));
    assert_eq!(api.run(&["apply", "-f", &folder, "--dry-run"]), done("service/web configured (dry run)\n"));
    assert_eq!(api.run_with(&["apply", "-f", "-"], service("web", 90).as_bytes()), done("service/web configured\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_names_its_file_and_line_and_nothing_is_applied() {
    let api = start().await;
    let file = api.file("a.yaml", &format!("{}---\n{}", service("web", 80), service("cart", 0)));
    let (ending, out, err) = api.run(&["apply", "-f", &file]);
    assert_eq!((ending, out), (Ending::Failed, String::new()));
    assert_eq!(err, format!("error: {file}:19: spec.ports[0].port: must be 1 to 65535, got 0\n"));
    assert_eq!(api.run(&["get", "svc"]).2, "nothing found\n");
    let file = api.file("b.yaml", "kind: Service\n---\n{apiVersion: v1, kind: Service,\nmetadata: {name: Web}}\n---\n[\n");
    let (_, _, err) = api.run(&["apply", "-f", &file]);
    assert!(err.contains("b.yaml:1: apiVersion: ") && err.contains("b.yaml:4: metadata.name: ") && err.contains("b.yaml:6: "), "{err}");
    let other = api.file("c.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n");
    let (_, _, err) = api.run(&["apply", "-n", "other", "-f", &other]);
    assert_eq!(err, format!("error: {other}:3: metadata.namespace: is \"shop\", and --namespace is \"other\"\n"));
    assert!(api.run(&["apply", "-f", "/nowhere"]).2.starts_with("error: /nowhere: No such file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_shown_in_every_form() {
    let api = start().await;
    for name in ["web", "cart"] {
        api.run_with(&["apply", "-f", "-", "-n", "shop"], service(name, 80).as_bytes());
    }
    let (_, table, _) = api.run(&["get", "svc", "-n", "shop"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((&rows[0], &rows[1][..2], &rows[3][..2]), (&vec!["NAME", "PORTS", "AGE"], &["cart", "80/TCP"][..], &["web", "80/TCP"][..]));
    let (_, wide, _) = api.run(&["get", "services", "web", "cart", "-n", "shop", "-o", "wide"]);
    assert!(wide.lines().nth(1).unwrap().ends_with("1         app=web"), "{wide}");
    assert!(api.run(&["get", "svc", "-A"]).1.starts_with("NAMESPACE   NAME    PORTS"));
    assert_eq!(api.run(&["get", "svc", "-A", "-o", "name", "-l", "app=web"]), done("service/web\n"));
    let (_, yaml, _) = api.run(&["get", "service/web", "-n", "shop", "-o", "yaml"]);
    assert!(yaml.starts_with("apiVersion: v1\nkind: Service\nmetadata:\n"), "{yaml}");
    assert_eq!(api.run_with(&["apply", "-f", "-"], yaml.as_bytes()), done("service/web unchanged\n"));
    let (_, json, _) = api.run(&["get", "svc", "-n", "shop", "-o", "json"]);
    let list: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((list["kind"].as_str(), list["items"].as_array().map(Vec::len)), (Some("List"), Some(3)));
    let (ending, out, err) = api.run(&["get", "svc", "nobody", "web", "-n", "shop"]);
    assert_eq!((ending, out.lines().count(), err.as_str()), (Ending::Failed, 2, "error: Service shop/nobody does not exist\n"));
    let (ending, _, err) = api.run(&["get", "pods"]);
    assert_eq!((ending, err.starts_with("error: there are no \"pods\"; there are services, ")), (Ending::Unknown, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_deleted_by_name_and_by_file() {
    let api = start().await;
    let file = api.file("a.yaml", &format!("{}---\n{}", service("web", 80), service("cart", 81)));
    api.run(&["apply", "-f", &file]);
    assert_eq!(api.run(&["delete", "svc", "web"]), done("service \"web\" deleted\n"));
    let again = api.run(&["delete", "-f", &file]);
    assert_eq!(again, (Ending::Failed, "service \"cart\" deleted\n".to_owned(), "error: Service default/web does not exist\n".to_owned()));
    assert_eq!(api.run(&["delete", "-f", &file, "--ignore-not-found"]), done(""));
    assert_eq!(api.run(&["delete", "svc"]).0, Ending::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_shown_and_is_an_exit_code() {
    let api = start().await;
    let file = api.file("a.yaml", &service("web", 80));
    let (ending, out, _) = api.run(&["diff", "-f", &file]);
    let head = format!("--- Service default/web (live)\n+++ Service default/web ({file})\n@@ -0,0 +1,10 @@\n+apiVersion: v1\n");
    assert!(ending == Ending::Failed && out.starts_with(&head), "{out}");
    api.run(&["apply", "-f", &file]);
    assert_eq!(api.run(&["diff", "-f", &file]), done(""));
    api.file("a.yaml", &service("web", 81));
    let (_, out, _) = api.run(&["diff", "-f", &file]);
    assert!(out.ends_with(" spec:\n   ports:\n-  - port: 80\n+  - port: 81\n"), "{out}");
    let nobody = ["diff", "-f", &file, "--server", "http://127.0.0.1:1"];
    let (ending, _, err) = run_with(&nobody, b"");
    assert_eq!((ending, err.contains("the control plane at http://127.0.0.1:1 does not answer")), (Ending::Unknown, true), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_says_who_and_a_rollback_undoes() {
    let api = start().await;
    api.run_with(&["apply", "-f", "-", "-m", "first", "--author", "ann"], service("web", 80).as_bytes());
    api.run_with(&["apply", "-f", "-"], service("web", 81).as_bytes());
    api.run_with(&["apply", "-f", "-"], service("cart", 81).as_bytes());
    let (_, history, _) = api.run(&["history", "svc", "web"]);
    let lines: Vec<_> = history.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[2].starts_with("1 ") && lines[2].ends_with("ann (admin)   service/web in default created      first"), "{history}");
    let (ending, preview, _) = api.run(&["rollback", "1", "--dry-run"]);
    assert!(
        preview.starts_with("--- Service default/cart (live)\n+++ Service default/cart (revision 1)\n@@ -1,10 +0,0 @@\n-api"),
        "{preview}"
    );
    assert!(ending == Ending::Done && preview.ends_with(" spec:\n   ports:\n-  - port: 81\n+  - port: 80\n"), "{preview}");
    assert_eq!(
        api.run(&["rollback", "1"]),
        done("service/cart deleted\nservice/web configured\nrevision 4 has the objects of revision 1\n")
    );
    assert_eq!(api.run(&["rollback", "4", "--dry-run"]), done("the objects are those of revision 4 already\n"));
    assert_eq!(api.run(&["rollback", "4"]), done("the objects are those of revision 4 already\n"));
    assert_eq!(api.run(&["rollback", "7"]).2, "error: there is no revision 7; the latest is 4\n");
    assert_eq!(api.run(&["history", "-o", "name", "--limit", "2"]), done("4\n3\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_changes_until_the_server_ends_it() {
    let mut api = start().await;
    api.run_with(&["apply", "-f", "-"], service("web", 80).as_bytes());
    let (url, token) = (api.url.clone(), api.folder.join("read-token").display().to_string());
    let watching = std::thread::spawn(move || {
        let words = ["get", "svc", "-w", "-o", "name", "--server", &url, "--token-file", &token];
        let arguments = Arguments::try_parse_from(["ninon"].iter().chain(&words)).unwrap();
        let (read, mut write) = io::pipe().unwrap();
        let run = std::thread::spawn(move || {
            let terminal = &mut Terminal { input: &mut io::empty(), out: &mut write, err: &mut io::sink() };
            run(&arguments.command, &mut Arguments::command(), &check, terminal)
        });
        (read, run)
    });
    let (read, run) = watching.join().unwrap();
    let mut lines = io::BufRead::lines(io::BufReader::new(read));
    assert_eq!(lines.next().unwrap().unwrap(), "service/web");
    api.run_with(&["apply", "-f", "-"], service("cart", 80).as_bytes());
    assert_eq!(lines.next().unwrap().unwrap(), "service/cart");
    api.stop().await;
    assert_eq!(tokio::task::block_in_place(|| run.join()).unwrap(), Ending::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_are_shown_and_a_missing_token_is_explained() {
    let api = start().await;
    let (_, table, _) = api.run(&["proxies"]);
    assert_eq!(table.lines().count(), 3);
    assert!(table.lines().nth(1).unwrap().starts_with("web-1   -           synced   -"), "{table}");
    assert!(api.run(&["proxies", "web-2", "-o", "yaml"]).1.contains("id: web-2\n"));
    assert_eq!(api.run(&["proxies", "x"]).2, "error: no proxy \"x\" is connected\n");
    let (ending, _, err) = run_with(&["proxies", "--server", &api.url], b"");
    assert!(ending == Ending::Failed && err.contains("NINON_TOKEN_FILE"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_checked_without_a_server() {
    let api = start().await;
    let good = api.file("good.yaml", &service("web", 80));
    assert_eq!(run_with(&["validate", "-f", &good], b""), done("1 object and 0 faults\n"));
    let bad = api.file("bad.yaml", &format!("{}---\n{}---\n[\n", service("a<b>", 80), service("web", 0)));
    let (ending, out, _) = run_with(&["validate", "-f", &bad, "-f", &good], b"");
    assert_eq!(ending, Ending::Failed);
    assert!(out.contains(&format!("{bad}:4: metadata.name: ")), "{out}");
    assert!(out.contains(&format!("{bad}:19: spec.ports[0].port: must be 1 to 65535, got 0\n")), "{out}");
    assert!(out.contains(&format!("{good}:4: metadata.name: Service default/web is in {bad} already\n")), "{out}");
    assert!(out.ends_with("4 objects and 4 faults\n"), "{out}");
    let (ending, xml, _) = run_with(&["validate", "-f", &bad, "-f", &good, "-o", "junit"], b"");
    assert!(ending == Ending::Failed && xml.contains("name=\"a&lt;b&gt;\"") && xml.contains("tests=\"4\" failures=\"4\""), "{xml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(run_with(&["completions", shell], b"").1.contains("rollback"), "{shell}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_shown_once_listed_and_revoked() {
    let api = start().await;
    assert_eq!(api.run(&["token", "list"]).2, "there are no tokens\n");
    let (ending, token, _) = api.run(&["token", "create", "--namespace", "shop"]);
    assert_eq!(ending, Ending::Done);
    let id = token.trim().strip_prefix("ninon-join-").and_then(|rest| rest.split_once('.')).unwrap().0.to_owned();
    let other =
        api.run(&["token", "create", "-n", "shop", "--service-account", "web", "--workload", "web-1", "--uses", "3", "-o", "json"]).1;
    let other: Value = serde_json::from_str(&other).unwrap();
    assert_eq!((&other["serviceAccount"], &other["workload"], &other["uses"]), (&"web".into(), &"web-1".into(), &3.into()));
    let (_, list, _) = api.run(&["token", "list"]);
    let words: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = words.iter().find(|row| row[0] == id).unwrap_or_else(|| panic!("{list}"));
    assert_eq!(row[1..6], ["shop", "default", "*", "*", "-"], "{list}");
    assert!(!list.contains(token.split_once('.').unwrap().1.trim()), "{list}");
    assert_eq!(api.run(&["token", "revoke", &id]), done(&format!("token \"{id}\" revoked\n")));
    let gone = (Ending::Failed, String::new(), format!("error: there is no token \"{id}\"\n"));
    assert_eq!(api.run(&["token", "revoke", &id]), gone);
    let limited = ["token", "create", "-n", "shop", "--label", "app=cart,version=*", "--label", "tier=", "-o", "json"];
    let limited: Value = serde_json::from_str(&api.run(&limited).1).unwrap();
    assert_eq!(limited["labels"], serde_json::json!({"app": "cart", "tier": "", "version": "*"}));
    assert!(api.run(&["token", "list"]).1.contains(" app=cart,tier=,version=* "));
    let (ending, _, err) = api.run(&["token", "create", "-n", "shop", "--label", "app=a b"]);
    assert!(ending == Ending::Failed && err.contains("  labels.app: the value of a label "), "{err}");
    let (ending, _, err) = api.run(&["token", "create", "-n", "shop", "--label", "app=a,app=b"]);
    assert!(ending == Ending::Unknown && err.contains("--label app: it is there twice"), "{err}");
    let (ending, _, err) = api.run(&["token", "create", "-n", "Shop", "--ttl", "0s"]);
    assert_eq!(ending, Ending::Failed);
    assert!(err.contains("  namespace: ") && err.contains("  ttlSeconds: must be 1 to "), "{err}");
    let (ending, _, err) = api.run(&["token", "create", "-n", "shop", "--service-account", "a/b"]);
    assert!(ending == Ending::Failed && err.contains("  serviceAccount: "), "{err}");
}
