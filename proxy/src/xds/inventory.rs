//! All resources that are known, as the server last told them and as they were last good. What is active is for
//! [`crate::xds::cascade`] to say.

/// Scopes of one key.
mod conflict;
/// From a resource's bytes to the model.
mod parse;
/// One type of resources.
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use prost::Message as _;
use prost_types::Any;
use tokio::time::Instant;
use xds_proto::any;
use xds_proto::envoy::config::bootstrap::v3::Bootstrap;
use xds_proto::envoy::config::core::v3::Node;
use xds_proto::envoy::config::core::v3::node::UserAgentVersionType;

use crate::config;
use crate::config::cluster::Cluster;
use crate::config::endpoint::Assignment;
use crate::config::listener::Listener;
use crate::config::names::Names;
use crate::config::route::RouteTable;
use crate::config::scope::Scope;
use crate::config::source::ResourceFile;
use crate::xds::bootstrap::Runtime;
use crate::xds::invalid::{Faults, Invalid, Named, Parser, StaticSecret};
use crate::xds::resource::{Kind, Offered, Sink};
use crate::xds::tls;

pub use table::{Entry, Known, Origin, Refused, Table};

use parse::{Context, Parse, Parsed};

/// What was set in the bootstrap file and counts for resources that come later.
#[derive(Clone, Debug, Default)]
pub struct Basis {
    /// Runtime keys that set limits.
    pub runtime: Runtime,
    /// `static_resources.secrets`.
    pub secrets: HashMap<String, StaticSecret>,
    /// Fields outside of the slice are faults wherever they stand.
    pub strict: bool,
    /// There is a server to ask.
    pub server: bool,
}

/// All resources that are known.
#[derive(Debug, Default)]
pub struct Inventory {
    basis: Basis,
    /// Clusters by name.
    pub clusters: Table<Cluster>,
    /// Endpoints by service name.
    pub endpoints: Table<Assignment>,
    /// Listeners by name.
    pub listeners: Table<Listener>,
    /// Scopes by name.
    pub scopes: Table<Scope>,
    /// Route tables by name.
    pub routes: Table<RouteTable>,
    /// Secrets by name.
    pub secrets: Table<StaticSecret>,
    /// Hosts and their addresses.
    pub names: Table<Names>,
    /// Built for a batch of work, dropped after it: it is some megabytes.
    descriptors: Option<xds_proto::DescriptorPool>,
}

impl Inventory {
    /// Empty.
    pub fn new(basis: Basis) -> Self {
        Self { basis, ..Self::default() }
    }

    /// What a bootstrap file holds, in protobuf's wire format and as it was made into the model; and who the proxy is.
    ///
    /// # Errors
    /// Resources that name secrets of a server, and have other faults that nobody has seen yet.
    pub fn of_file(file: &config::bootstrap::Bootstrap) -> Result<(Self, Node), Faults> {
        let snapshot = &file.snapshot;
        let bootstrap = Bootstrap::decode(file.source.as_slice()).map_err(Faults::one)?;
        let mut parser = Parser::new();
        let runtime = Runtime::parse(bootstrap.layered_runtime.as_ref(), &mut parser);
        let resources = bootstrap.static_resources.unwrap_or_default();
        let own = file.enrolment.iter().flat_map(StaticSecret::of_enrolment);
        let secrets = own.chain(resources.secrets.iter().filter_map(|secret| tls::secret(secret, &mut parser))).collect();
        let server = bootstrap.dynamic_resources.is_some_and(|dynamic| dynamic.ads_config.is_some());
        let mut inventory = Self::new(Basis { runtime, secrets, strict: false, server });
        for cluster in &resources.clusters {
            match snapshot.clusters.get(cluster.name.as_str()) {
                Some(known) => {
                    let named = inventory.named_in::<Cluster>(&any::pack(cluster));
                    inventory.clusters.adopt(known.name.as_str().to_owned(), Arc::clone(known), named);
                }
                None => inventory.adopt(Kind::Cluster, &cluster.name, any::pack(cluster))?,
            }
        }
        for known in &snapshot.listeners {
            let name = known.name.as_str();
            // One without a name was given one, and refers to nothing that its name would be needed for.
            let wire = resources.listeners.iter().find(|listener| listener.name == name).map(any::pack);
            let named = wire.map(|wire| inventory.named_in::<Listener>(&wire)).unwrap_or_default();
            inventory.listeners.adopt(name.to_owned(), Arc::clone(known), named);
        }
        for listener in &resources.listeners {
            if inventory.listeners.get(&listener.name).is_none() && !listener.name.is_empty() {
                inventory.adopt(Kind::Listener, &listener.name, any::pack(listener))?;
            }
        }
        inventory.rest();
        Ok((inventory, introduced(bootstrap.node.unwrap_or_default())))
    }

    /// What a good resource of the bootstrap file refers to.
    fn named_in<T: Parse>(&mut self, body: &Any) -> Named {
        let mut context = Context { basis: &self.basis, served: &self.secrets, descriptors: &mut self.descriptors };
        parse::read::<T>(body, &mut context).map(|parsed| parsed.named).unwrap_or_default()
    }

    /// A resource of the bootstrap file that refers to secrets which a server has.
    ///
    /// # Errors
    /// All of its faults.
    pub fn adopt(&mut self, kind: Kind, name: &str, body: Any) -> Result<(), Faults> {
        let offered = Offered { name: name.to_owned(), version: String::new(), ttl: None, body: Some(body) };
        self.take(kind, &offered, Origin::File)
    }

    /// Gives back what is only needed while resources are read.
    pub fn rest(&mut self) {
        self.descriptors = None;
    }

    /// Forgets resources that nothing refers to any more.
    pub fn retain(&mut self, kind: Kind, wanted: &BTreeSet<String>) {
        match kind {
            Kind::Cluster | Kind::Listener | Kind::Names => {}
            Kind::ScopedRoute => self.scopes.retain(wanted),
            Kind::Endpoint => self.endpoints.retain(wanted),
            Kind::Route => self.routes.retain(wanted),
            Kind::Secret => self.secrets.retain(wanted),
        }
    }

    /// What servers have sent and was good: name, version, and the resource as it came.
    pub fn sent(&self) -> impl Iterator<Item = (&str, &str, &Any)> {
        let first = self.clusters.sent().chain(self.endpoints.sent()).chain(self.listeners.sent());
        first.chain(self.scopes.sent()).chain(self.routes.sent()).chain(self.secrets.sent()).chain(self.names.sent())
    }

    /// Counts changes of what is known.
    pub fn changes(&self) -> u64 {
        let first = [self.clusters.changes, self.endpoints.changes, self.listeners.changes];
        let of_types = first.into_iter().chain([self.scopes.changes, self.routes.changes, self.secrets.changes, self.names.changes]);
        of_types.fold(0, u64::wrapping_add)
    }

    /// Names of secrets that resources refer to.
    pub fn secrets_named(&self) -> BTreeSet<String> {
        let named = self.clusters.named().chain(self.listeners.named());
        named.flat_map(|named| &named.secrets).cloned().collect()
    }

    /// Resources that are in files, by name, and which files.
    pub fn files_named(&self) -> BTreeMap<(Kind, String), ResourceFile> {
        let named = self.clusters.named().chain(self.listeners.named());
        named.flat_map(|named| &named.files).map(|(resource, file)| (resource.clone(), file.clone())).collect()
    }

    /// Takes out what has outlived its time; what it was.
    pub fn expire(&mut self, now: Instant) -> Vec<(Kind, String)> {
        let mut expired = Vec::new();
        for (kind, names) in [
            (Kind::Cluster, self.clusters.expire(now)),
            (Kind::Endpoint, self.endpoints.expire(now)),
            (Kind::Listener, self.listeners.expire(now)),
            (Kind::ScopedRoute, self.scopes.expire(now)),
            (Kind::Route, self.routes.expire(now)),
            (Kind::Secret, self.secrets.expire(now)),
            (Kind::Names, self.names.expire(now)),
        ] {
            expired.extend(names.into_iter().map(|name| (kind, name)));
        }
        expired
    }

    /// When the next resource outlives its time.
    pub fn next_expiry(&self) -> Option<Instant> {
        let of_types = [
            self.clusters.next_expiry(),
            self.endpoints.next_expiry(),
            self.listeners.next_expiry(),
            self.scopes.next_expiry(),
            self.routes.next_expiry(),
            self.secrets.next_expiry(),
            self.names.next_expiry(),
        ];
        of_types.into_iter().flatten().min()
    }

    fn names_from(&self, kind: Kind, origin: Origin) -> Vec<String> {
        match kind {
            Kind::Cluster => self.clusters.names_from(origin),
            Kind::Endpoint => self.endpoints.names_from(origin),
            Kind::Listener => self.listeners.names_from(origin),
            Kind::ScopedRoute => self.scopes.names_from(origin),
            Kind::Route => self.routes.names_from(origin),
            Kind::Secret => self.secrets.names_from(origin),
            Kind::Names => self.names.names_from(origin),
        }
    }

    fn take(&mut self, kind: Kind, offered: &Offered, origin: Origin) -> Result<(), Faults> {
        let mut context = Context { basis: &self.basis, served: &self.secrets, descriptors: &mut self.descriptors };
        match kind {
            Kind::Cluster => take(&mut self.clusters, offered, origin, &mut context),
            Kind::Endpoint => take(&mut self.endpoints, offered, origin, &mut context),
            Kind::Listener => take(&mut self.listeners, offered, origin, &mut context),
            Kind::ScopedRoute => take(&mut self.scopes, offered, origin, &mut context),
            Kind::Route => take(&mut self.routes, offered, origin, &mut context),
            Kind::Names => take(&mut self.names, offered, origin, &mut context),
            Kind::Secret => {
                let mut context = Context { basis: &self.basis, served: &Table::default(), descriptors: &mut self.descriptors };
                let before = self.secrets.value(&offered.name).cloned();
                take(&mut self.secrets, offered, origin, &mut context)?;
                if !before.is_some_and(|before| succeed(&mut self.secrets, &offered.name, before)) {
                    self.read_again(&offered.name);
                }
                Ok(())
            }
        }
    }

    /// Reads again what refers to a secret that has come, or has become one of another kind. What does not fit the new one keeps the old, and says so.
    fn read_again(&mut self, secret: &str) {
        let mut context = Context { basis: &self.basis, served: &self.secrets, descriptors: &mut self.descriptors };
        again(&mut self.clusters, secret, &mut context);
        again(&mut self.listeners, secret, &mut context);
    }
}

impl Sink for Inventory {
    fn offer(&mut self, kind: Kind, offered: &Offered) -> Result<(), Faults> {
        self.take(kind, offered, Origin::Server)
    }

    fn settle(&mut self, kind: Kind) -> Vec<(String, Faults)> {
        match kind {
            Kind::ScopedRoute => conflict::settle(&mut self.scopes),
            Kind::Cluster | Kind::Endpoint | Kind::Listener | Kind::Route | Kind::Secret | Kind::Names => Vec::new(),
        }
    }

    /// Endpoints, routes and secrets stay as long as something refers to them, as in Envoy: only with a cluster or a listener do
    /// they go.
    fn remove(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::Cluster => self.clusters.remove(name),
            Kind::Listener => self.listeners.remove(name),
            Kind::ScopedRoute => self.scopes.remove(name),
            Kind::Names => self.names.remove(name),
            Kind::Endpoint | Kind::Route | Kind::Secret => {}
        }
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.names_from(kind, Origin::Server)
    }
}

/// Where resources of watched files go.
#[derive(Debug)]
pub struct Watched<'a>(pub &'a mut Inventory);

impl Sink for Watched<'_> {
    fn offer(&mut self, kind: Kind, offered: &Offered) -> Result<(), Faults> {
        self.0.take(kind, offered, Origin::Watched)
    }

    fn settle(&mut self, kind: Kind) -> Vec<(String, Faults)> {
        self.0.settle(kind)
    }

    fn remove(&mut self, kind: Kind, name: &str) {
        self.0.remove(kind, name);
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.0.names_from(kind, Origin::Watched)
    }
}

/// What a control plane may count on.
fn introduced(node: Node) -> Node {
    Node {
        user_agent_name: "ninon".to_owned(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion(env!("CARGO_PKG_VERSION").to_owned())),
        client_features: vec!["xds.config.resource-in-sotw".to_owned(), "ninon.http.version-by-endpoint".to_owned()],
        ..node
    }
}

fn take<T: Parse>(table: &mut Table<T>, offered: &Offered, origin: Origin, context: &mut Context<'_>) -> Result<(), Faults> {
    let name = &offered.name;
    match (table.get(name).map(|entry| entry.origin), origin) {
        (Some(Origin::File), Origin::Server | Origin::Watched) => {
            return Err(Faults::one("static_resources has one of this name, which stays"));
        }
        // What refers to it says where it comes from; nobody has asked the server.
        (Some(Origin::Watched), Origin::Server) => return Err(Faults::one("a file has one of this name, which stays")),
        _ => {}
    }
    let expires = offered.ttl.and_then(|ttl| Instant::now().checked_add(ttl));
    let Some(body) = &offered.body else {
        if table.known_mut(name).is_none() {
            return Err(Faults::one("a heartbeat of a resource that is not known"));
        }
        table.renew(name, None, expires);
        return Ok(());
    };
    let before = table.known_mut(name).filter(|known| known.body.as_ref() == Some(body)).map(|known| known.value.clone());
    let is_in_files = T::is_in_files(body);
    let read = if before.is_some() && !is_in_files { None } else { Some(parse::read::<T>(body, context)) };
    let is_as_before = |read: &Result<Parsed<T>, Faults>| match (&before, read) {
        (Some(Some(before)), Ok(Parsed { value: Some(value), .. })) => before.has_same_files(value),
        _ => false,
    };
    let Some(read) = read.filter(|read| !is_as_before(read)) else {
        table.renew(name, Some(&offered.version), expires);
        table.forgive(name);
        return Ok(());
    };
    let fits = |parsed: &Parsed<T>| parsed.value.as_ref().map_or(Ok(()), |value| value.fits_beside(name, table));
    match read.and_then(|parsed| fits(&parsed).map(|()| parsed)) {
        Ok(Parsed { value, named, mut warnings }) => {
            if is_in_files && origin == Origin::Server {
                warnings.push(Invalid { path: Vec::new(), problem: "its files are read as often as the server tells of it".to_owned() });
            }
            tell(name, &warnings);
            let version = offered.version.clone();
            let known = Known { version, body: Some(body.clone()), since: SystemTime::now(), expires, change: 0, value, named, warnings };
            if T::IS_ON_TRIAL {
                table.accept_on_trial(name, origin, known)
            } else {
                table.accept(name, origin, known)
            }
            Ok(())
        }
        Err(faults) => {
            let refused = Refused { version: offered.version.clone(), body: body.clone(), faults: faults.clone(), at: SystemTime::now() };
            table.refuse(name, origin, refused);
            Err(faults)
        }
    }
}

/// Whoever refers to the secret before sees what has come in its place. `false` where that is of another kind.
fn succeed(secrets: &mut Table<StaticSecret>, name: &str, before: Arc<StaticSecret>) -> bool {
    let Some(known) = secrets.known_mut(name) else { return false };
    let same = known.value.as_ref().is_some_and(|next| before.become_like(next));
    if same {
        known.value = Some(before);
    }
    same
}

fn again<T: Parse>(table: &mut Table<T>, secret: &str, context: &mut Context<'_>) {
    for (name, body) in table.naming_secret(secret) {
        match parse::read::<T>(&body, context) {
            Ok(parsed) => {
                if let Some(known) = table.known_mut(&name) {
                    known.value = parsed.value.or(known.value.take());
                    table.changes = table.changes.wrapping_add(1);
                }
            }
            Err(faults) => tracing::warn!(%name, %secret, %faults, "the new secret does not fit; the one before stays"),
        }
    }
}

fn tell(name: &str, warnings: &[Invalid]) {
    for warning in warnings {
        tracing::debug!(%name, %warning, "accepted, but");
    }
}

#[cfg(test)]
pub(crate) mod tests;
