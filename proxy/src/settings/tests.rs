use std::path::Path;

use super::*;
use crate::config::address::Address;
use crate::config::bootstrap::Bootstrap;
use crate::config::identity::Means;
use crate::config::listener::ChainHandler;
use crate::xds::invalid::Faults;

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ninon-settings-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn read(words: &[&str]) -> Result<Command, clap::Error> {
    let words = std::iter::once("ninon-proxy").chain(words.iter().copied()).map(OsString::from);
    Arguments::read(words).map(|arguments| arguments.command)
}

fn run(words: &[&str]) -> Result<Settings, clap::Error> {
    let words: Vec<&str> = ["run", "-c", "x.yaml"].into_iter().chain(words.iter().copied()).collect();
    match read(&words)? {
        Command::Run(settings) => Ok(*settings),
        Command::Validate(_) | Command::Redirect(_) => panic!("run"),
    }
}

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.warnings.iter().map(ToString::to_string).collect()
}

fn fault(result: Result<Loaded, Faults>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_file_is_all_that_is_needed() {
    let settings = run(&[]).unwrap();
    assert_eq!(settings.config.as_deref(), Some(Path::new("x.yaml")));
    assert!(settings.workers.get() <= MOST_DEFAULT_WORKERS);
    assert_eq!(settings.log_level, LogLevel::Info);
    assert_eq!(settings.drain_time, Duration::from_secs(600));
    assert!(!settings.strict_xds && settings.state_dir.is_none());
}

#[test]
fn every_setting_is_a_flag() {
    let words = ["--workers", "3", "--state-dir", "/s", "--strict-xds", "--log-level", "debug", "--drain-time", "30"];
    let settings = run(&words).unwrap();
    assert_eq!((settings.workers.get(), settings.strict_xds), (3, true));
    assert_eq!(settings.state_dir.as_deref(), Some(Path::new("/s")));
    assert_eq!((settings.log_level, settings.drain_time), (LogLevel::Debug, Duration::from_secs(30)));
}

#[test]
fn envoys_names_of_flags_are_understood() {
    let settings = run(&["--concurrency", "2", "-l", "warning", "--drain-time-s", "5"]).unwrap();
    assert_eq!((settings.workers.get(), settings.log_level), (2, LogLevel::Warn));
    assert_eq!(settings.drain_time, Duration::from_secs(5));
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    for words in [&["--workers", "0"][..], &["--workers", "1025"], &["--drain-time", "-1"], &["--log-level", "loud"], &["--nonsense"]] {
        assert_eq!(run(words).unwrap_err().exit_code(), 2, "{words:?}");
    }
    assert_eq!(read(&["run"]).unwrap_err().exit_code(), 2);
    assert_eq!(read(&["--help"]).unwrap_err().exit_code(), 0);
}

#[test]
fn help_shows_every_flag_with_its_variable() {
    let help = read(&["run", "--help"]).unwrap_err().to_string();
    for variable in ["CONFIG", "WORKERS", "STATE_DIR", "STRICT_XDS", "LOG_LEVEL", "DRAIN_TIME"] {
        assert!(help.contains(&format!("[env: NINON_{variable}=")), "{variable}: {help}");
    }
    assert!(help.contains("[default: 600]") && help.contains("[default: info]"), "{help}");
}

#[test]
fn a_reverse_proxy_is_read() {
    let loaded = load(include_str!("tests/reverse_proxy.yaml"), true).unwrap();
    let [listener] = loaded.bootstrap.snapshot.listeners.as_slice() else { panic!("one listener") };
    assert_eq!(listener.addresses.len(), 2);
    assert_eq!(listener.max_connections, Some(10_000));
    assert_eq!(loaded.bootstrap.max_connections, Some(50_000));
    assert_eq!(loaded.bootstrap.snapshot.clusters.len(), 2);
    let ChainHandler::Http(manager) = &listener.chains[0].handler else { panic!("http") };
    assert_eq!(manager.http2.max_concurrent_streams, 100);
    assert_eq!(manager.upgrades, [("websocket".to_owned(), true)]);
}

#[test]
fn a_tls_edge_is_read() {
    let folder = Folder::new("edge");
    let made = rcgen::generate_simple_self_signed(["www.example.org".to_owned()]).unwrap();
    let certificate = folder.file("cert.pem", &made.cert.pem());
    let key = folder.file("key.pem", &made.signing_key.serialize_pem());
    let text = include_str!("tests/tls_edge.yaml");
    let text = text.replace("\"CERT\"", &format!("{certificate:?}")).replace("\"KEY\"", &format!("{key:?}"));
    let loaded = load(&text, true).unwrap();
    let listener = &loaded.bootstrap.snapshot.listeners[0];
    assert!(listener.detection.tls && listener.detection.proxy_protocol.is_some());
    let [www, partners] = listener.chains.as_slice() else { panic!("two chains") };
    assert!(www.tls.as_ref().unwrap().validation.is_none());
    let tls = partners.tls.as_ref().unwrap();
    assert!(tls.require_client_certificate && tls.validation.is_some());
    assert!(loaded.bootstrap.snapshot.clusters["backend"].tls.is_some());
    assert!(matches!(loaded.bootstrap.admin, Some(Address::Unix(_))));
}

#[test]
fn a_weighted_tcp_proxy_is_read() {
    let loaded = load(include_str!("tests/tcp_weighted.yaml"), true).unwrap();
    let [database, local] = loaded.bootstrap.snapshot.listeners.as_slice() else { panic!("two listeners") };
    assert!(database.default_chain.is_some() && database.detection.original_dst);
    assert!(matches!(local.addresses[0].address, Address::Unix(_)));
    assert_eq!(loaded.bootstrap.max_connections, Some(20_000));
}

#[test]
fn json_is_read_as_well() {
    let loaded = load(r#"{"node": {"id": "a"}, "static_resources": {"listeners": []}}"#, true).unwrap();
    assert_eq!(loaded.bootstrap.node.id, "a");
    assert!(warnings(&load("{node: {id: a}}", false).unwrap()).is_empty());
    assert_eq!(fault(load(r#"{"node": {"id": "a",}"#, false)), "not JSON: trailing comma at line 1 column 21");
    assert_eq!(fault(load(r#"{"node": {"id": "a""#, false)), "not JSON: EOF while parsing an object at line 1 column 19");
}

#[test]
fn an_empty_file_is_an_empty_bootstrap() {
    assert!(load("", false).unwrap().bootstrap.snapshot.listeners.is_empty());
    assert!(load("# nothing\n", false).is_ok());
}

#[test]
fn what_is_no_yaml_is_refused_with_its_line() {
    let told = fault(load("node:\n  id: [a\n", false));
    assert!(told.starts_with("not YAML: ") && told.contains("line"), "{told}");
    let told = fault(load("node: {id: a}\nnode: {id: b}\n", false));
    assert!(told.contains("node") && told.contains("line 2"), "{told}");
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    assert!(fault(load(&bomb, false)).starts_with("not YAML: "));
}

#[test]
fn nesting_is_bounded_in_every_style() {
    let nested = |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let block = |depth: usize| (0..depth).map(|level| format!("{}a:\n", " ".repeat(level))).collect::<String>();
    // What is in a field that is not known is only warned of.
    for text in [nested("{a: ", "}", 60), nested(r#"{"a":"#, "}", 60), block(60)] {
        assert_eq!(load(&text, false).unwrap().warnings.len(), 1, "{text}");
    }
    for depth in [250, 5000] {
        for text in [nested("[", "]", depth), nested("{a: ", "}", depth), nested(r#"{"a":"#, "}", depth), block(depth)] {
            let told = fault(load(&text, false));
            assert!(told.starts_with("not YAML: ") || told.starts_with("not JSON: "), "{told}");
            assert!(load(&format!("node: {text}"), false).is_err());
        }
        assert!(load(&format!("node:\n  {}1", "- ".repeat(depth)), false).is_err());
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let told = fault(load_file(Path::new("/nowhere/x.yaml"), false));
    assert_eq!(told, "reading /nowhere/x.yaml: No such file or directory (os error 2)");
    let told = fault(load_file(Path::new("/dev/zero"), false));
    assert_eq!(told, "/dev/zero is larger than 67108864 bytes");
}

#[test]
fn validate_tells_every_fault_with_its_path() {
    let folder = Folder::new("validate");
    let config = folder.file("good.yaml", "node: {id: a}\nflags_path: /x\n");
    let (report, good) = Validate { config: config.clone(), strict_xds: false, workload_api_address: None }.report();
    let file = config.display();
    let expected = format!("warning: flags_path: ignored: there are no flag files\n{file}: good; listeners: 0, clusters: 0\n");
    assert_eq!((report, good), (expected, true));
    let config = folder.file("bad.yaml", "header_prefix: x\nadmin: {address: {}}\n");
    let (report, good) = Validate { config: config.clone(), strict_xds: false, workload_api_address: None }.report();
    let file = config.display();
    let expected =
        format!("header_prefix: not supported\nadmin.address: one of socket_address, pipe must be set\n{file}: refused; 2 faults\n");
    assert_eq!((report, good), (expected, false));
}

#[test]
fn what_is_spelled_wrong_is_told_though_the_file_is_refused() {
    let folder = Folder::new("misspelled");
    let report = |name: &str, text: &str| {
        let config = folder.file(name, text);
        let (report, good) = Validate { config: config.clone(), strict_xds: false, workload_api_address: None }.report();
        assert!(!good, "{report}");
        report.replace(&config.display().to_string(), "FILE")
    };
    let missing = "static_resources: {clusters: [{nam: shop, type: STATIC}]}";
    assert_eq!(
        report("missing.yaml", missing),
        "static_resources.clusters[0].name: must not be empty\n\
         warning: static_resources.clusters[0].nam: ignored: no such field; did you mean name?\n\
         FILE: refused; 1 fault\n"
    );
    // So it is where values have the wrong type and nothing is looked at any further.
    let of_another_type = "static_resources: {clusters: [{nam: shop, connect_timeout: soon}]}";
    let told = report("type.yaml", of_another_type);
    let (faults, rest) = told.split_once("warning: ").unwrap();
    assert!(faults.starts_with("static_resources.clusters[0].connect_timeout: "), "{told}");
    assert_eq!(rest, "static_resources.clusters[0].nam: ignored: no such field; did you mean name?\nFILE: refused; 1 fault\n");
    // Under --strict-xds it is a fault, and told once.
    let config = folder.file("strict.yaml", missing);
    let (told, _) = Validate { config, strict_xds: true, workload_api_address: None }.report();
    assert_eq!(told.matches("no such field").count(), 1, "{told}");
}

fn mesh(words: &[&str]) -> Result<Loaded, String> {
    let words: Vec<&str> = ["run"].into_iter().chain(words.iter().copied()).collect();
    match read(&words).map_err(|error| error.to_string())? {
        Command::Run(settings) => settings.load().map_err(|faults| faults.to_string()),
        Command::Validate(_) | Command::Redirect(_) => panic!("run"),
    }
}

#[test]
fn flags_take_the_place_of_a_file() {
    let loaded =
        mesh(&["--xds-address", "127.0.0.1:1,xds.example:2,unix:/run/xds", "--node-id", "me", "--node-metadata", "A=1,B=x=y"]).unwrap();
    let Bootstrap { node, dynamic, admin, .. } = loaded.bootstrap;
    assert_eq!((node.id.as_str(), node.cluster.as_str()), ("me", "ninon-proxy"));
    assert_eq!(node.metadata, serde_json::json!({ "A": "1", "B": "x=y" }));
    assert_eq!(admin.map(|address| address.to_string()).as_deref(), Some("127.0.0.1:15000"));
    let dynamic = dynamic.unwrap();
    assert!(dynamic.clusters.is_some() && dynamic.listeners.is_some());
    let server = dynamic.server.unwrap();
    assert!(server.delta);
    assert_eq!(server.servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["xds-0", "xds-1", "xds-2"]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let transparent = mesh(&["--xds-address", "a:1", "--inbound-mode", "TPROXY"]).unwrap().bootstrap.node.metadata;
    assert_eq!(transparent, serde_json::json!({ "INTERCEPTION_MODE": "TPROXY" }));
    assert_eq!(mesh(&["--xds-address", "a:1", "--inbound-mode", "redirect"]).unwrap().bootstrap.node.metadata, serde_json::json!({}));
    let unnamed = mesh(&["--xds-address", "[::1]:1"]).unwrap().bootstrap.node.id;
    assert!(!unnamed.is_empty(), "this machine's name");
}

#[test]
fn flags_in_place_of_a_file_that_do_not_fit_are_refused() {
    for (words, problem) in [
        (&["--xds-address", "nowhere"][..], "neither HOST:PORT nor unix:PATH"),
        (&["--xds-address", "a:0"], "neither HOST:PORT"),
        (&["--xds-address", "unix:"], "needs a path"),
        (&["--xds-address", "a:1", "-c", "x.yaml"], "cannot be used with"),
        (&["--xds-address", "a:1", "--node-metadata", "A"], "not KEY=VALUE"),
        (&["--xds-address", "a:1", "--xds-key", "k"], "--xds-certificate"),
        (&["--xds-address", "unix:/x", "--xds-ca", "ca.pem"], "needs --xds-server-name"),
        (&["--xds-address", "a:1", "--xds-ca", "/nowhere/ca.pem"], "/nowhere/ca.pem"),
        (&["--node-id", "me"], "--xds-address"),
        (&[], "--config"),
    ] {
        let refused = mesh(words).map(|_| ()).unwrap_err();
        assert!(refused.contains(problem), "{words:?}: {refused}");
    }
}

#[test]
fn a_workload_joins_a_mesh_by_flags() {
    let token = "ninon-join-ab.cd.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let words = ["--mesh", "ninon.test:15012", "--token", token, "--workload", "cart-1", "--port", "http=8081:9081,9000"];
    let words = words.into_iter().chain(["--label", "app=cart", "--address", "10.0.0.7", "--outbound-address", "127.0.0.1:15101"]);
    let loaded = mesh(&words.collect::<Vec<_>>()).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let Bootstrap { node, dynamic, enrolment, snapshot, .. } = loaded.bootstrap;
    assert_eq!(
        node.metadata,
        serde_json::json!({
            "WORKLOAD_NAME": "cart-1", "LABELS": {"app": "cart"}, "ADDRESSES": ["10.0.0.7"], "SIDECAR": {"outbound": "127.0.0.1:15101"},
            "PORTS": [{"name": "http", "port": 8081.0, "applicationPort": 9081.0}, {"port": 9000.0}],
        })
    );
    assert_eq!(dynamic.unwrap().server.unwrap().servers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["mesh-0"]);
    let tls = snapshot.clusters.get("mesh-0").unwrap().tls.clone().unwrap();
    let enrolment = enrolment.unwrap();
    enrolment.certificate.replace(std::sync::Arc::new(crate::config::identity::CertificatePem { chain: vec![1], key: vec![], file: None }));
    assert_eq!(tls.certificate.as_ref().unwrap().load().chain, [1], "the cluster shows the certificate that comes");
    let Means::Token(joining) = &enrolment.means else { panic!("{:?}", enrolment.means) };
    assert!(!format!("{:?}", joining.token).contains("ninon"), "a token is told to nobody");
}

#[test]
fn a_workload_joins_a_mesh_by_the_workload_api() {
    for socket in ["unix:///run/spire/agent.sock", "unix:/run/spire/agent.sock"] {
        let loaded = mesh(&["--mesh", "ninon.test:15012", "--workload-api-address", socket, "--mesh-ca", "ca.pem"]).unwrap();
        let Means::WorkloadApi(api) = loaded.bootstrap.enrolment.unwrap().means else { panic!("no Workload API") };
        assert_eq!(api.socket.to_str(), Some("/run/spire/agent.sock"));
        assert_eq!(api.trusted_ca.unwrap().to_str(), Some("ca.pem"));
    }
    let standard = ["--mesh", "a:1", "--spiffe-endpoint-socket", "unix:///a"];
    assert!(matches!(mesh(&standard).unwrap().bootstrap.enrolment.unwrap().means, Means::WorkloadApi(_)));
    let with_token = [&standard[..], &["--token", "x"]].concat();
    let means = mesh(&with_token).unwrap().bootstrap.enrolment.unwrap().means;
    assert!(matches!(means, Means::Token(_)), "the variable may be the application's");
}

#[test]
fn flags_of_a_mesh_that_do_not_fit_are_refused() {
    for (words, problem) in [
        (&["--mesh", "a:1"][..], "--mesh needs --token or --token-file"),
        (&["--mesh", "a:1", "--workload-api-address", "unix:///a", "--token", "x"], "cannot be used with"),
        (&["--mesh", "a:1", "--workload-api-address", "tcp://127.0.0.1:1"], "not unix:PATH or unix:///PATH"),
        (&["--mesh", "a:1", "--workload-api-address", "unix:a"], "not unix:PATH or unix:///PATH"),
        (&["--mesh", "a:1", "--spiffe-endpoint-socket", "tcp://127.0.0.1:1"], "SPIFFE_ENDPOINT_SOCKET: not unix:PATH"),
        (&["--mesh", "a:1", "--token", "x", "--token-file", "y"], "cannot be used with"),
        (&["--mesh", "a:1", "--xds-address", "a:1", "--token", "x"], "cannot be used with"),
        (&["--mesh", "a:1", "-c", "x.yaml", "--token", "x"], "cannot be used with"),
        (&["--mesh", "a:1", "--token", " "], "is empty"),
        (&["--mesh", "a:1", "--token", "x", "--port", "http=0"], "not [NAME=]PORT[:APPLICATION_PORT]"),
        (&["--mesh", "a:1", "--token", "x", "--port", "=80"], "not [NAME=]PORT[:APPLICATION_PORT]"),
        (&["--token", "x"], "--mesh"),
    ] {
        let refused = mesh(words).map(|_| ()).unwrap_err();
        assert!(refused.contains(problem), "{words:?}: {refused}");
    }
}

#[test]
fn questions_for_names_are_answered_where_it_is_asked_for() {
    let service = |words: &[&str]| run(words).map(|settings| settings.dns.service());
    assert_eq!(service(&[]).unwrap(), None);
    let usual = service(&["--dns"]).unwrap().unwrap();
    let text = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<String>>();
    assert_eq!(text(&usual.addresses), ["127.0.0.1:15053", "[::1]:15053"]);
    assert!(!usual.are_given && usual.resolvers.is_empty());
    let told = service(&["--dns", "--dns-address", "127.0.0.1:53", "--dns-resolver", "10.0.0.1,10.0.0.2:5353,::1"]).unwrap().unwrap();
    assert!(told.are_given && text(&told.addresses) == ["127.0.0.1:53"]);
    assert_eq!(text(&told.resolvers), ["10.0.0.1:53", "10.0.0.2:5353", "[::1]:53"]);
    for wrong in [
        &["--dns", "--dns-address", "0.0.0.0:53"][..],
        &["--dns", "--dns-address", "127.0.0.1"],
        &["--dns-address", "127.0.0.1:53"],
        &["--dns", "--dns-resolver", "name.example"],
        &["--dns", "--dns-resolver", "10.0.0.1:0"],
        &["--dns-resolver", "10.0.0.1"],
    ] {
        assert_eq!(service(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
}

/// Flags of `redirect`.
mod redirect;
