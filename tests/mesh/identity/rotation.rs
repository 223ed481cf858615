use std::process::ChildStdin;
use std::time::{Duration, SystemTime};

use ninon_tests::control_plane::Dialect;
use ninon_tests::process::Process;
use ninon_tests::{envoy, ports, sidecar};

use super::*;

/// Short enough that an old root is forgotten within a test.
const TIMES: [&str; 6] = ["--certificate-ttl", "10s", "--max-certificate-ttl", "10s", "--registration-orphan-grace", "8s"];

/// Envoy with a listener of its own, for which it asks whom to trust.
pub(super) async fn trusting((port, at): (u16, u16), stranger: &Stranger) -> Process {
    let admin = ports::free();
    let node = json!({"id": "envoy", "cluster": "tests", "metadata": {"NAMESPACE": "shop", "WORKLOAD_NAME": "envoy"}});
    let mut file = sidecar::bootstrap(&[port], Dialect::Delta, &node, admin);
    let path = |end: &str| json!({"filename": stranger.path(&format!("cart.{end}"))});
    file["static_resources"]["listeners"] = json!([{
        "name": "trusting",
        "address": sidecar::address(at),
        "filter_chains": [{
            "filters": [{
                "name": "tcp",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "stat_prefix": "tcp",
                    "cluster": "ads",
                },
            }],
            "transport_socket": {
                "name": "tls",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "require_client_certificate": true,
                    "common_tls_context": {
                        "tls_certificates": [{"certificate_chain": path("pem"), "private_key": path("key")}],
                        "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": {"ads": {}, "resource_api_version": "V3"}},
                    },
                },
            },
        }],
    }]);
    let folder = Folder::new();
    let written = folder.path().join("bootstrap.json");
    fs::write(&written, file.to_string()).unwrap();
    let mut process = Process::start(envoy::command(&written), folder).unwrap();
    process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}"));
    process
}

/// One that is told whom to trust and says nothing to it.
struct Silent(Child, ChildStdin);

impl Silent {
    fn of(world: &World, stranger: &Stranger) -> Self {
        let mut client = stranger.client();
        let mut input = client.stdin.take().unwrap();
        let asked = json!({"call": "ads", "port": world.xds, "node": {"id": "silent"}, "type": SECRET, "names": ["ROOTCA"], "hold": true});
        writeln!(input, "{asked}").unwrap();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        Self(client, input)
    }

    fn leaves(self) {
        let Self(mut client, input) = self;
        drop(input);
        client.wait().unwrap();
    }
}

async fn waits_for(world: &World, who: &str) {
    let waits = || async { ca(world)["rotation"]["waitsFor"].to_string().contains(who).then_some(()) };
    eventually(LIMIT, waits).await.unwrap_or_else(|| panic!("{who}: {:#}", ca(world)));
}

pub(super) async fn until_step(world: &World, step: &str) -> Value {
    let look = || async { Some(ca(world)).filter(|ca| ca["rotation"]["step"] == step) };
    eventually(LIMIT, look).await.unwrap_or_else(|| panic!("it is to be {step}: {:#}\n{}", ca(world)["rotation"], world.log()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_is_replaced_when_all_know_the_new_one_and_nothing_of_the_old_one_holds() {
    let mut world = World::start_with(&TIMES).await;
    let stranger = Stranger::new(&world);
    let token = token(&world, "shop", &[]);
    stranger.joins("cart", &token, 10);
    let _envoy = trusting((world.xds, ports::free()), &stranger).await;
    let silent = Silent::of(&world, &stranger);
    let old = ca(&world)["roots"][0]["fingerprint"].clone();

    let said = world.does(&["ca", "rotate"]);
    assert!(said.contains("rotation: distributing"), "{said}");
    let again = world.ninon(&["ca", "rotate"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("a rotation is under way"), "{again:?}");
    let waits = || async { Some(ca(&world)).filter(|ca| ca["rotation"]["waitsFor"] == json!(["silent"])) };
    let waiting = eventually(LIMIT, waits).await.unwrap_or_else(|| panic!("{:#}", ca(&world)));
    assert_eq!((&waiting["roots"][0]["fingerprint"], &waiting["roots"][0]["signs"]), (&old, &json!(true)));
    let shown = world.does(&["ca", "status"]);
    assert!(shown.contains("waits for silent"), "{shown}");
    // A restart goes on with it, and not before those who were there had time to come back.
    world.kill();
    silent.leaves();
    let begun = tokio::time::Instant::now();
    world.serve().await;
    waits_for(&world, "proxies of this control plane before its start; they may come back for ").await;
    until_step(&world, "issuing").await;
    assert!(begun.elapsed() >= Duration::from_secs(8), "{:?}", begun.elapsed());
    let issuing = until_step(&world, "issuing").await;
    assert_eq!((issuing["roots"].as_array().unwrap().len(), &issuing["roots"][0]["signs"]), (2, &json!(false)));
    // Who knows only the old root verifies the port and what is signed now.
    let (code, chain) = stranger.certify(&stranger.csr("next", ""), &json!({"token": token}));
    assert_eq!(code, "", "{chain}");
    fs::write(stranger.path("next.pem"), &chain).unwrap();
    assert_eq!(stranger.openssl("verify -CAfile root.pem -untrusted next.pem next.pem"), "next.pem: OK\n");
    // And who has a certificate of the old one is still somebody, as long as that holds.
    stranger.trusts(&world);
    stranger.openssl("verify -no_check_time -CAfile root.pem cart.pem");

    let steady = until_step(&world, "steady").await;
    assert_eq!((steady["roots"].as_array().unwrap().len(), steady["roots"][0]["fingerprint"] == old), (1, false));
    let synced = || async {
        let proxies = world.proxies();
        (proxies.len() == 1 && proxies.iter().all(|proxy| proxy["synced"] == json!(true))).then_some(())
    };
    eventually(LIMIT, synced).await.unwrap_or_else(|| panic!("{:#?}", world.proxies()));
    world.is_accepted_by_all().await;
    // The root of a token made before is among what the port shows.
    let shown = stranger.openssl(&format!("s_client -connect 127.0.0.1:{} -showcerts -CAfile root.pem", world.secure_xds));
    assert!(shown.matches("BEGIN CERTIFICATE").count() >= 4, "the leaf, the new root, the way from the old one, and that: {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_a_root_and_rotate_it_together() {
    let (_etcd, store) = crate::replicas::etcd().await;
    let (one, other) = (World::start_at_store(&store, &TIMES).await, World::start_at_store(&store, &TIMES).await);
    assert_eq!(one.does(&["ca", "roots"]), other.does(&["ca", "roots"]));
    let stranger = Stranger::new(&one);
    stranger.joins("cart", &token(&one, "shop", &[]), 10);
    let elsewhere = Stranger { port: other.secure_xds, folder: Folder::new() };
    elsewhere.trusts(&one);
    for end in ["pem", "key"] {
        fs::copy(stranger.path(&format!("cart.{end}")), elsewhere.path(&format!("cart.{end}"))).unwrap();
    }
    let (code, why) = elsewhere.certify(&elsewhere.csr("next", ""), &elsewhere.with("cart"));
    assert_eq!(code, "", "{why}");
    let _envoy = trusting((other.xds, ports::free()), &stranger).await;
    one.does(&["ca", "rotate"]);
    let issuing = until_step(&one, "issuing").await;
    let same = || async { (ca(&other)["roots"] == issuing["roots"]).then_some(()) };
    eventually(LIMIT, same).await.unwrap_or_else(|| panic!("{:#}", ca(&other)));
    other.is_accepted_by_all().await;
}

/// Whoever it is connected to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_waits_for_who_does_not_confirm_and_for_a_while_for_who_is_gone() {
    let (_etcd, store) = crate::replicas::etcd().await;
    let times = [&TIMES[..4], &["--registration-orphan-grace", "3s"]].concat();
    let (one, other) = (World::start_at_store(&store, &times).await, World::start_at_store(&store, &times).await);
    let stranger = Stranger::new(&other);
    let silent = Silent::of(&other, &stranger);
    one.does(&["ca", "rotate"]);
    waits_for(&other, "\"silent\"").await;
    silent.leaves();
    waits_for(&other, "silent, which is gone; it may come back for ").await;
    let silent = Silent::of(&other, &stranger);
    waits_for(&other, "\"silent\"").await;
    waits_for(&one, "control plane ").await;
    silent.leaves();
    until_step(&one, "issuing").await;

    let silent = Silent::of(&other, &stranger);
    waits_for(&other, "\"silent\"").await;
    let until = humantime::parse_rfc3339(ca(&one)["rotation"]["until"].as_str().unwrap()).unwrap();
    let over = || async {
        let step = ca(&one)["rotation"]["step"].clone();
        assert_eq!(step, "issuing", "one proxy trusts the old root alone");
        (SystemTime::now() > until + Duration::from_secs(2)).then_some(())
    };
    eventually(LIMIT, over).await.expect("the time comes");
    waits_for(&one, "control plane ").await;
    let shown = one.does(&["ca", "status"]);
    assert!(shown.contains("rotation: issuing") && shown.contains("waits for control plane "), "{shown}");
    silent.leaves();
    for world in [&one, &other] {
        let steady = until_step(world, "steady").await;
        assert_eq!(steady["roots"].as_array().unwrap().len(), 1);
    }
}
