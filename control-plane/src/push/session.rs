//! One stream's task: it waits for requests, for snapshots, for the end, and for a client that is too slow.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use prost::Message;
use prost_types::{Struct, Value, value};
use serde_json as json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::{Code, Status};
use tracing::{debug, info, warn};
use xds_proto::envoy::config::core::v3 as core;
use xds_proto::envoy::service::discovery::v3 as wire;

use crate::model::identity::Verified;
use crate::proxies::Connected;
use crate::proxies::node::{Locality, Node};
use crate::proxies::status::Dialect;
use crate::push::body::Shared;
use crate::push::connection::Peer;
use crate::push::request::{Request, Wants};
use crate::push::requests::Requests;
use crate::push::stream::{Limits, Stream};
use crate::push::{Guest, Joined, Push, Refusal};
use crate::snapshot::Snapshot;
use crate::snapshot::kind::Kind;

/// A request of either dialect.
pub trait Spoken: Message + Default {
    /// Which one.
    const DIALECT: Dialect;
    /// Who asks; in the first request only.
    fn node(&mut self) -> Option<core::Node>;
    /// For what type.
    fn type_url(&self) -> &str;
    /// The same, in our words.
    fn request(self, kind: Kind) -> Request;
}

impl Spoken for wire::DiscoveryRequest {
    const DIALECT: Dialect = Dialect::Sotw;

    fn node(&mut self) -> Option<core::Node> {
        self.node.take()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn request(self, kind: Kind) -> Request {
        Wants::of_sotw(self, kind)
    }
}

impl Spoken for wire::DeltaDiscoveryRequest {
    const DIALECT: Dialect = Dialect::Delta;

    fn node(&mut self) -> Option<core::Node> {
        self.node.take()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn request(self, kind: Kind) -> Request {
        Wants::of_delta(self, kind)
    }
}

/// Who calls, by the connection.
pub struct Caller {
    /// The connection.
    pub peer: Peer,
    /// By its certificate.
    pub identity: Option<Arc<Verified>>,
    /// The token that it shows.
    pub token: Option<String>,
}

/// See the module.
pub struct Session {
    push: Arc<Push>,
    shared: Arc<Shared>,
    caller: Caller,
    /// Who it is, once that was said.
    node: OnceLock<Arc<Node>>,
}

impl Session {
    /// Has not begun.
    pub fn new(push: Arc<Push>, shared: Arc<Shared>, caller: Caller) -> Self {
        Self { push, shared, caller, node: OnceLock::new() }
    }

    /// Until the stream is over.
    pub async fn run<M: Spoken>(self, mut requests: Requests<M>) {
        let status = match self.join(&mut requests).await {
            Ok((joined, mut connected, guest)) => {
                let Joined { snapshots, alive, .. } = joined;
                let status = self.attend(&mut requests, snapshots, guest.as_deref()).await;
                connected.reason = if status.code() == Code::Ok { "the stream was ended".to_owned() } else { status.message().to_owned() };
                drop((alive, guest));
                status
            }
            Err(status) => {
                self.push.proxies.counters.refused_stream();
                info!(node = self.name(), address = ?self.caller.peer.address, reason = status.message(), "a stream was refused");
                status
            }
        };
        self.shared.end(status);
    }

    /// The first request says who it is.
    async fn join<M: Spoken>(&self, requests: &mut Requests<M>) -> Result<(Joined, Connected, Option<Box<dyn Guest>>), Status> {
        let first = timeout(self.push.settings.stall, requests.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no request came"))??;
        let mut first = first.ok_or_else(|| Status::invalid_argument("the stream ended before its first request"))?;
        let node = first.node().ok_or_else(|| Status::invalid_argument("the first request does not say which node asks"))?;
        let node = Arc::new(self.node(node));
        self.node.get_or_init(|| Arc::clone(&node));
        let guest = self.push.directory.admit(&node, self.caller.token.as_deref()).await?;
        let joined = self.push.directory.join(&node)?;
        let snapshot = Arc::clone(&joined.snapshots.borrow());
        let limits = Limits { patience: self.push.settings.patience, names: self.push.settings.names };
        self.shared.begin(Stream::new(M::DIALECT, limits, Arc::clone(&self.push.common), snapshot));
        debug!(node = %node.id, agent = %node.user_agent_name, dialect = M::DIALECT.name(), "a stream begins");
        let connected = self.push.proxies.connect(node, joined.about.clone(), M::DIALECT, Arc::<Shared>::clone(&self.shared));
        let connected = connected.map_err(|_| Status::resource_exhausted("there are as many streams as may be"))?;
        self.hear(first)?;
        Ok((joined, connected, guest))
    }

    fn node(&self, node: core::Node) -> Node {
        use core::node::UserAgentVersionType;
        let version = match node.user_agent_version_type {
            Some(UserAgentVersionType::UserAgentVersion(version)) => version,
            Some(UserAgentVersionType::UserAgentBuildVersion(build)) => build
                .version
                .map(|version| format!("{}.{}.{}", version.major_number, version.minor_number, version.patch))
                .unwrap_or_default(),
            None => String::new(),
        };
        let locality = node.locality.unwrap_or_default();
        Node {
            id: node.id,
            cluster: node.cluster,
            metadata: node.metadata.map(object).unwrap_or_default(),
            locality: Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone },
            user_agent_name: node.user_agent_name,
            user_agent_version: version,
            client_features: node.client_features,
            address: self.caller.peer.address,
            identity: self.caller.identity.clone(),
        }
    }

    /// Requests and snapshots, until one of the sides ends it.
    async fn attend<M: Spoken>(
        &self,
        requests: &mut Requests<M>,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        guest: Option<&dyn Guest>,
    ) -> Status {
        let mut stop = self.push.stop.clone();
        let (mut expelled, mut expired) = (pin!(expelled(guest)), pin!(expired(self.caller.identity.as_deref())));
        let mut revoked = pin!(self.caller.peer.revoked());
        let mut joining = guest;
        let limit = self.push.settings.stall;
        // The one that the stream began with is seen.
        snapshots.mark_unchanged();
        let mut patrol = Some(Instant::now() + limit);
        let mut passed = None;
        loop {
            if joining.is_some() && self.shared.has_taken(Kind::Listener) {
                joining.take().iter().for_each(|guest| guest.serves());
            }
            // Once is enough: a client that has no room for more is not asked again and again.
            let deadline = self.shared.deadline().filter(|deadline| Some(*deadline) != passed);
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return Status::ok("this replica stops"),
                refusal = &mut expelled => return refusal.into(),
                status = &mut expired => return status,
                status = &mut revoked => {
                    warn!(node = self.name(), reason = status.message(), "a stream is ended");
                    return status;
                }
                request = requests.message() => match request {
                    Ok(Some(request)) => {
                        if let Err(status) = self.hear(request) {
                            return status;
                        }
                        patrol.get_or_insert_with(|| Instant::now() + limit);
                    }
                    Ok(None) => break,
                    Err(status) => return status,
                },
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return Status::unavailable("there are no more snapshots");
                    }
                    let snapshot = Arc::clone(&snapshots.borrow_and_update());
                    self.shared.tell(|stream| stream.snapshot(snapshot, Instant::now()));
                    patrol.get_or_insert_with(|| Instant::now() + limit);
                }
                () = self.shared.waits.notified() => {}
                () = at(deadline) => {
                    passed = deadline;
                    self.shared.wake();
                }
                () = at(patrol) => match self.look() {
                    Ok(next) => patrol = next,
                    Err(status) => return status,
                },
            }
        }
        self.parted(guest.filter(|_| requests.is_finished())).await
    }

    /// The client has no more to say. Who is registered waits until nobody is sent there any more.
    async fn parted(&self, guest: Option<&dyn Guest>) -> Status {
        let mut stop = self.push.stop.clone();
        if let Some(guest) = guest {
            info!(node = self.name(), "says goodbye");
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => {}
                () = guest.goodbye() => {}
            }
        }
        Status::ok("")
    }

    fn hear<M: Spoken>(&self, request: M) -> Result<(), Status> {
        let proxies = &self.push.proxies;
        proxies.counters.requested();
        let Some(kind) = Kind::from_type_url(request.type_url()) else {
            debug!(type_url = request.type_url(), "a type that is not served is asked for");
            return Ok(());
        };
        let request = request.request(kind);
        if let Some(message) = &request.refusal {
            warn!(%kind, node = self.name(), %message, "a client refused what it was sent");
        }
        let heard = self.shared.tell(|stream| stream.request(request, Instant::now()));
        match heard {
            Some(Ok(heard)) => {
                heard.taken.into_iter().for_each(|after| proxies.counters.taken(after));
                if heard.refused {
                    proxies.counters.refused(kind);
                }
                Ok(())
            }
            Some(Err(_)) => Err(Status::resource_exhausted(format!("more than {} names are asked for", self.push.settings.names))),
            None => Ok(()),
        }
    }

    fn name(&self) -> &str {
        self.node.get().map(|node| node.id.as_str()).unwrap_or_default()
    }

    /// Whether the client keeps up; when to look again.
    fn look(&self) -> Result<Option<Instant>, Status> {
        let (now, limit) = (Instant::now(), self.push.settings.stall);
        if self.shared.is_stuck(now, limit) {
            // It would not read the reason either.
            self.caller.peer.cut();
            return Err(Status::deadline_exceeded("the client did not read for too long"));
        }
        if self.shared.is_silent(now, limit) {
            return Err(Status::deadline_exceeded("the client did not acknowledge what it was sent for too long"));
        }
        // An eighth more at the most.
        Ok(self.shared.is_busy().then(|| now + limit / 8))
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

async fn expelled(guest: Option<&dyn Guest>) -> Refusal {
    match guest {
        Some(guest) => guest.expelled().await,
        None => pending().await,
    }
}

/// Waits until a certificate no longer holds.
async fn expired(verified: Option<&Verified>) -> Status {
    let Some(verified) = verified else { return pending().await };
    sleep(verified.not_after.duration_since(SystemTime::now()).unwrap_or_default()).await;
    let at = humantime::format_rfc3339_seconds(verified.not_after);
    Status::unauthenticated(format!("the certificate {} expired at {at}; come back with a newer one", verified.serial))
}

fn object(fields: Struct) -> json::Map<String, json::Value> {
    fields.fields.into_iter().map(|(name, value)| (name, plain(value))).collect()
}

fn plain(value: Value) -> json::Value {
    match value.kind {
        None | Some(value::Kind::NullValue(_)) => json::Value::Null,
        Some(value::Kind::BoolValue(value)) => value.into(),
        Some(value::Kind::NumberValue(value)) => value.into(),
        Some(value::Kind::StringValue(value)) => value.into(),
        Some(value::Kind::ListValue(list)) => list.values.into_iter().map(plain).collect(),
        Some(value::Kind::StructValue(fields)) => json::Value::Object(object(fields)),
    }
}
