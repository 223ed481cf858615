//! Every mesh of the golden cases, one after the other on the same stream: nobody refuses anything.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use ninon_control_plane::model::mesh::Mesh;
use ninon_control_plane::proxies::Proxies;
use ninon_control_plane::proxies::node::{About, Node};
use ninon_control_plane::push::{self, Directory, Joined, Push, Refusal, Settings};
use ninon_control_plane::snapshot::kind::Kind;
use ninon_control_plane::snapshot::resource::Resource;
use ninon_control_plane::snapshot::set::Set;
use ninon_control_plane::snapshot::{Layer, Snapshot};
use ninon_control_plane::source::{manifest, yaml};
use ninon_control_plane::translate::view::{Form, Translator, View};
use ninon_tests::control_plane::Dialect;
use ninon_tests::eventually::eventually;
use ninon_tests::{ports, settings};
use prost::Message as _;
use prost_reflect::prost_types::Any;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xds_proto::any;
use xds_proto::envoy::config::core::v3::Address;
use xds_proto::envoy::config::core::v3::address::Address as Of;
use xds_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use xds_proto::envoy::config::listener::v3::Listener;

use crate::world::{LIMIT, Program, Sidecar};

/// Everybody sees the same.
struct Everyone(Arc<watch::Sender<Arc<Snapshot>>>);

impl Directory for Everyone {
    fn join(&self, _: &Node) -> Result<Joined, Refusal> {
        Ok(Joined { about: About::default(), snapshots: self.0.subscribe(), alive: None })
    }
}

/// What the cases' sidecars are told, by case; listeners are moved to ports that this machine has.
fn snapshots() -> BTreeMap<String, Arc<Snapshot>> {
    let golden = settings::tests_dir().join("../control-plane/tests/golden");
    let mut snapshots = BTreeMap::new();
    for case in fs::read_dir(golden).unwrap() {
        let case = case.unwrap().path();
        let read = |name: &str| yaml::documents(&fs::read_to_string(case.join(name)).unwrap());
        let asks = read("asks.yaml").remove(0).unwrap().value;
        if asks.get("form").and_then(Value::as_str) == Some("grpc") {
            continue;
        }
        let mut mesh = Mesh::default();
        for document in read("mesh.yaml") {
            let (key, object) = manifest::read(&document.unwrap().value).unwrap();
            mesh.apply(&key, Some(object));
        }
        // Not transparent: that takes a privilege.
        let workload = asks.get("workload").and_then(Value::as_str).map(Arc::from);
        let view = View {
            form: Form::Sidecar,
            namespace: asks["namespace"].as_str().unwrap().into(),
            workload,
            account: None,
            transparent: false,
        };
        let snapshot = Translator::default().snapshot(&mesh, &view);
        let layers = snapshot.layers.iter().map(|layer| Arc::new(Layer::new(|kind| moved(kind, layer.of(kind)))));
        let name = case.file_name().unwrap().display().to_string();
        snapshots.insert(name, Arc::new(Snapshot { layers: layers.collect() }));
    }
    snapshots
}

fn moved(kind: Kind, set: &Arc<Set>) -> Arc<Set> {
    if kind != Kind::Listener {
        return Arc::clone(set);
    }
    let listeners = set.iter().map(|resource| {
        let mut listener: Listener = any::unpack(&Any::decode(resource.any.clone()).unwrap()).unwrap();
        let more = listener.additional_addresses.iter_mut().filter_map(|more| more.address.as_mut());
        more.chain(&mut listener.address).for_each(to_free_port);
        Arc::new(Resource::new(listener.name.clone(), &listener))
    });
    Arc::new(Set::new(listeners))
}

fn to_free_port(address: &mut Address) {
    if let Some(Of::SocketAddress(socket)) = &mut address.address {
        socket.address = "127.0.0.1".to_owned();
        socket.port_specifier = Some(PortSpecifier::PortValue(ports::free().into()));
    }
}

/// Takes every case but those, which it refuses for these words.
async fn accepts_all(program: Program, dialect: Dialect, but: &[(&str, &str)]) {
    let snapshots = snapshots();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sender = Arc::new(watch::Sender::new(Arc::clone(&snapshots["service-names"])));
    let (proxies, (_stop, stopped)) = (Proxies::new(10), watch::channel(false));
    let push = Push::new(Everyone(Arc::clone(&sender)), Arc::clone(&proxies), Settings::default(), stopped);
    let mut serving = JoinSet::new();
    serving.spawn(async move { push::serve(listener, push).await.unwrap() });
    let _sidecar = Sidecar::start_at(port, program, dialect, "web").await;
    for (case, snapshot) in snapshots {
        sender.send_replace(Arc::clone(&snapshot));
        let types = || proxies.list().into_iter().find(|proxy| proxy.gone.is_none()).map(|proxy| proxy.types).unwrap_or_default();
        let look = || async {
            let types = types();
            // What was refused of the case before is told until something is taken.
            let of_this = types.iter().filter_map(|of| of.refusal.as_ref().filter(|refusal| refusal.version == snapshot.version(of.kind)));
            let refused: Vec<_> = of_this.map(|refusal| refusal.message.as_str()).collect();
            if let Some((_, words)) = but.iter().find(|(known, _)| *known == case) {
                return refused.iter().any(|message| message.contains(words)).then_some(());
            }
            assert!(refused.is_empty(), "{case}: {program:?} refuses {refused:?}");
            let taken = [Kind::Cluster, Kind::Listener].into_iter().all(|kind| {
                let newest = snapshot.version(kind);
                types.iter().any(|of| of.kind == kind && !of.waiting && of.acknowledged.is_some_and(|(version, _)| version == newest))
            });
            (taken && types.iter().all(|of| !of.waiting)).then_some(())
        };
        eventually(LIMIT, look).await.unwrap_or_else(|| panic!("{case}: {program:?} does not take it: {:#?}", types()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_accepts_every_golden() {
    accepts_all(Program::Envoy, Dialect::Delta, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_accepts_every_golden() {
    let not_yet = [("policy-hash-header", "MAGLEV is not supported yet"), ("policy-hash-cookie", "RING_HASH is not supported yet")];
    accepts_all(Program::Ninon, Dialect::Delta, &not_yet).await;
}
