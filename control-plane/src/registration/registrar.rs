use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::endpoints::Condition;
use crate::model::identity::Verified;
use crate::model::mesh::Object;
use crate::model::name::Name;
use crate::model::workload::Workload;
use crate::proxies::node::Node;
use crate::registration::book::{Book, Kept, Times};
use crate::registration::claim::{self, Claim, permit};
use crate::registration::record::{Record, State, key, name};
use crate::registration::replicas::Replicas;
use crate::source::manifest::{self, DEFAULT_NAMESPACE};
use crate::store::Store;
use crate::store::records::{Put, Shelf};
use crate::token::{Refused, Signed, Token, Tokens};

/// After the store refused.
const AGAIN: Duration = Duration::from_secs(1);
/// After others wrote in between.
const SOON: Duration = Duration::from_millis(50);
/// A stream begins when its workload is part of the mesh, or when that takes longer.
const SETTLED: Duration = Duration::from_secs(2);

/// Why a workload is not registered; each is a sentence for its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// What is said of it makes no sense.
    Invalid(String),
    /// The token is none.
    Unauthenticated(String),
    /// The token is for somebody else.
    Denied(String),
    /// It cannot be now.
    Unavailable(String),
}

/// Tells the mesh what is registered: workloads that have changed, and those that are gone.
pub type Tell = Box<dyn Fn(Vec<(Name, Option<Workload>)>) + Send + Sync>;

/// Keeps registrations.
pub struct Registrar {
    store: Store,
    tokens: Tokens,
    replicas: Replicas,
    times: Times,
    most: usize,
    tell: Tell,
    book: Mutex<Book>,
    /// The book has changed.
    entered: Notify,
    /// What the mesh has been told.
    told: watch::Sender<Arc<Kept>>,
    /// The tokens that there are.
    valid: watch::Sender<Arc<Signed>>,
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar").finish_non_exhaustive()
    }
}

/// A stream of a workload's sidecar. When it is dropped, the stream is gone.
#[derive(Debug)]
pub struct Registered {
    registrar: Arc<Registrar>,
    name: Name,
    token: Option<String>,
    stream: u64,
}

/// What a workload is known by.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// A token.
    Token(&'a str),
    /// A certificate, and perhaps a token beside it.
    Certificate(&'a Verified, Option<&'a str>),
}

impl Registrar {
    /// With no more than `most` registrations. What is kept from before is there at once.
    pub fn new(store: Store, tokens: Tokens, times: Times, most: usize, tell: Tell) -> Arc<Self> {
        let me = format!("{:016x}", fastrand::u64(..));
        let registrar = Arc::new(Self {
            tokens,
            replicas: Replicas::new(store.clone(), me.clone()),
            store,
            times,
            most,
            tell,
            book: Mutex::new(Book::new(me, times)),
            entered: Notify::new(),
            told: watch::Sender::default(),
            valid: watch::Sender::default(),
        });
        registrar.look();
        registrar
    }

    /// What is registered, whether an object hides it or not.
    pub fn registered(&self) -> Arc<Kept> {
        Arc::clone(&self.told.borrow())
    }

    /// This control plane, and those that share its store and live.
    pub fn replicas(&self) -> (&str, Vec<String>) {
        (self.replicas.me(), self.replicas.live())
    }

    /// How long those have to come back whose control plane is gone.
    pub const fn orphan_grace(&self) -> Duration {
        self.times.orphan
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the workload beside a node, by what it shows.
    ///
    /// # Errors
    /// Why not.
    pub async fn admit(self: &Arc<Self>, node: &Node, proof: Proof<'_>) -> Result<Registered, Denial> {
        let (claim, token) = match proof {
            Proof::Token(shown) => {
                let token = self.tokens.known(shown).map_err(denial)?;
                let mut claim = claimed(node, DEFAULT_NAMESPACE, &token.service_account)?;
                token.allows(&claim.name, &claim.account).map_err(denial)?;
                by_token(&mut claim, &token)?;
                let known = self.known(&claim)?;
                // Who has joined stays: a token that expires lets nobody in, and sends nobody away.
                if !known.is_some_and(|before| before.token.as_ref() == Some(&token.id) && before.object == claim.object) {
                    self.tokens.take(&token.id, &claim.name, &claim.account, SystemTime::now()).await.map_err(denial)?;
                }
                (claim, Some(token.id))
            }
            Proof::Certificate(verified, shown) => {
                let mut claim = claimed(node, &verified.identity.namespace, &verified.identity.account)?;
                stands_for(verified, &claim)?;
                let proof = format!("the certificate {}", verified.serial);
                claim.limit(&verified.limits, &proof).map_err(Denial::Denied)?;
                let token = shown.map(|shown| self.tokens.known(shown).map_err(denial)).transpose()?;
                if let Some(token) = &token {
                    // It was counted when the certificate was given.
                    token.allows(&claim.name, &claim.account).map_err(denial)?;
                    by_token(&mut claim, token)?;
                }
                self.known(&claim)?;
                (claim, token.map(|token| token.id))
            }
        };
        self.enter(claim, token).await
    }

    async fn enter(self: &Arc<Self>, claim: Claim, token: Option<String>) -> Result<Registered, Denial> {
        let taken = || {
            let (name, account) = (&claim.name, &claim.account);
            let rule =
                format!("the workload {name} is being registered, for another service account than {account:?} or with other labels");
            Denial::Denied(rule)
        };
        let stream = self.book().enter(&claim, token.as_deref()).ok_or_else(taken)?;
        let Claim { name, object, account, limits } = &claim;
        let registered = Registered { registrar: Arc::clone(self), name: name.clone(), token, stream };
        self.entered.notify_one();
        let mut told = self.told.subscribe();
        let here = told.wait_for(|told| told.get(&registered.name).is_some_and(|(record, _)| record.object == *object));
        // It goes on without, and is told of its listeners when they are there.
        if timeout(SETTLED, here).await.is_err() {
            tracing::warn!(workload = %registered.name, "registered, and not part of the mesh yet");
        }
        // Of two who come at the same time, the first that is written stays.
        let is_other = |record: &Record| record.account() != account || permit(limits, &record.object).is_err();
        let is_anothers = told.borrow().get(name).is_some_and(|(record, _)| is_other(record));
        if is_anothers { Err(taken()) } else { Ok(registered) }
    }

    /// What is known of a workload before, if it is of the same account, and there is room for it otherwise.
    fn known(&self, claim: &Claim) -> Result<Option<Record>, Denial> {
        let before = self.store.records().get(Shelf::Registrations, &key(&claim.name));
        let before = before.and_then(|kept| Record::read(&kept.text));
        if let Some(before) = before.as_ref().filter(|before| before.account() != claim.account) {
            let (name, account) = (&claim.name, before.account());
            return Err(Denial::Denied(format!("the workload {name} is registered, for service account {account:?}")));
        }
        if let Some(Err(why)) = before.as_ref().map(|before| permit(&claim.limits, &before.object)) {
            let name = &claim.name;
            return Err(Denial::Denied(format!("the workload {name} is registered, as somebody that this one may not be: {why}")));
        }
        if before.is_none() && self.store.records().count(Shelf::Registrations) >= self.most {
            return Err(Denial::Unavailable(format!("as many workloads are registered as may be, {}", self.most)));
        }
        Ok(before)
    }

    /// Keeps registrations until it is time to stop. What is kept then is there for the next one.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let beats = self.replicas.run(&self.entered, stop.clone());
        let keeps = async {
            let mut changes = self.store.records().changes();
            while !*stop.borrow() {
                changes.mark_unchanged();
                let kept = self.look();
                let now = Instant::now();
                let (puts, next) = self.book().due(&kept, &|id| self.replicas.is_live(id), now);
                let wake = if puts.is_empty() { next } else { self.write(puts).await.map(|pause| now + pause) };
                let sleep = async {
                    match wake {
                        Some(wake) => sleep_until(wake).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    // That nobody can say so any more is the same.
                    _ = stop.wait_for(|stop| *stop) => return,
                    changed = changes.changed() => if changed.is_err() { return },
                    () = self.entered.notified() => {}
                    () = sleep => {}
                }
            }
        };
        tokio::join!(beats, keeps);
    }

    /// Writes; how long to wait before the next look.
    async fn write(&self, puts: Vec<Put>) -> Option<Duration> {
        match self.store.keep(puts).await {
            Ok(kept) if kept.contains(&true) => Some(Duration::ZERO),
            Ok(_) => Some(SOON),
            Err(error) => {
                tracing::warn!(%error, "registrations cannot be kept; tried again");
                Some(AGAIN)
            }
        }
    }

    /// Takes over what is kept, and tells the mesh what is different.
    fn look(&self) -> Arc<Kept> {
        self.valid.send_if_modified(|valid| {
            let now = self.tokens.signed(valid);
            let is_other = !good(valid).eq(good(&now));
            *valid = Arc::new(now);
            is_other
        });
        let before = self.registered();
        let mut after = Kept::new();
        let mut changes = Vec::new();
        for (text, kept) in self.store.records().list(Shelf::Registrations) {
            let Some(name) = name(&text) else { continue };
            let same = before.get(&name).filter(|(_, version)| *version == kept.version);
            let record = same.map(|(record, _)| Arc::clone(record)).or_else(|| Record::read(&kept.text).map(Arc::new));
            let Some(record) = record else { continue };
            let known = before.get(&name).map(|(record, _)| record);
            if !known.is_some_and(|known| (known.state, &known.object) == (record.state, &record.object)) {
                log(&name, &record, known.map(|known| known.state));
                changes.push((name.clone(), workload(&record)));
            }
            after.insert(name, (record, kept.version));
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            tracing::info!(workload = %name, "a registration is over");
            changes.push((name.clone(), None));
        }
        if !changes.is_empty() {
            (self.tell)(changes);
        }
        let after = Arc::new(after);
        self.told.send_replace(Arc::clone(&after));
        after
    }
}

impl Registered {
    /// Which workload.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Its sidecar has taken its listeners: others may come.
    pub fn serves(&self) {
        self.registrar.book().serves(&self.name, self.stream);
        self.registrar.entered.notify_one();
    }

    /// Its sidecar says that it goes; returns when it may.
    pub async fn goodbye(&self) {
        self.registrar.book().goodbye(&self.name, self.stream);
        self.registrar.entered.notify_one();
        tokio::time::sleep(self.registrar.times.drain).await;
    }

    /// Waits until its token is no longer good; why.
    pub async fn expelled(&self) -> Denial {
        let Some(token) = &self.token else { return std::future::pending().await };
        let mut valid = self.registrar.valid.subscribe();
        // The sender lives as long as this. What it says may be older than the token: the store is asked.
        let found = || self.registrar.tokens.get(token);
        while valid.wait_for(|valid| !valid.get(&**token).is_some_and(|(_, is_signed)| *is_signed)).await.is_ok()
            && found().is_some_and(|token| token.is_signed)
            && valid.changed().await.is_ok()
        {}
        self.registrar.book().goodbye(&self.name, self.stream);
        self.registrar.entered.notify_one();
        match found() {
            Some(_) => denial(Refused::NotSigned(token.clone())),
            None => Denial::Unauthenticated(format!("the token {token} was revoked")),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registrar.book().leave(&self.name, self.stream);
        self.registrar.entered.notify_one();
    }
}

/// Tokens that somebody may have come by.
fn good(tokens: &Signed) -> impl Iterator<Item = &Arc<str>> {
    tokens.iter().filter(|(_, (_, is_signed))| *is_signed).map(|(id, _)| id)
}

fn claimed(node: &Node, namespace: &str, account: &str) -> Result<Claim, Denial> {
    claim::read(node, namespace, account).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Denial::Invalid(format!("the node's metadata: {}", faults.join("; ")))
    })
}

/// Which labels it may have by its token.
fn by_token(claim: &mut Claim, token: &Token) -> Result<(), Denial> {
    claim.limit(&token.limits, &format!("the token {}", token.id)).map_err(Denial::Denied)
}

/// Whether a certificate is that of the workload.
fn stands_for(verified: &Verified, Claim { name, account, .. }: &Claim) -> Result<(), Denial> {
    let own = &verified.identity;
    let is_other = |workload: &Arc<str>| **workload != *name.name;
    if *own.namespace != *name.namespace || *own.account != **account || own.is_control_planes() {
        return Err(Denial::Denied(format!("the certificate is of {own}, and the workload is {name} of service account {account:?}")));
    }
    match verified.workload.as_ref().filter(|workload| is_other(workload)) {
        Some(workload) => Err(Denial::Denied(format!("the certificate is for workload {workload:?}, and this is {:?}", &*name.name))),
        None => Ok(()),
    }
}

/// A record as part of the mesh.
fn workload(record: &Record) -> Option<Workload> {
    let condition = match record.state {
        State::Joining => Condition::NotReady,
        State::Serving => Condition::Ready,
        State::Draining => Condition::Draining,
    };
    match manifest::read(&record.object) {
        Ok((_, Object::Workload(workload))) => Some(Workload { condition, ..workload }),
        // A newer program may see it otherwise.
        _ => None,
    }
}

fn log(name: &Name, record: &Record, before: Option<State>) {
    let state = record.state.as_str();
    match before {
        None => tracing::info!(workload = %name, token = record.token.as_deref(), state, "a workload is registered"),
        Some(before) if before != record.state => tracing::info!(workload = %name, state, "a registration goes on"),
        Some(_) => tracing::info!(workload = %name, state, "a registration says something else"),
    }
}

fn denial(refused: Refused) -> Denial {
    let words = refused.to_string();
    match refused {
        Refused::Unknown | Refused::NotSigned(_) | Refused::Expired(_) => Denial::Unauthenticated(words),
        Refused::NotFor(_) | Refused::UsedUp(_) => Denial::Denied(words),
        Refused::Store(_) => Denial::Unavailable(words),
    }
}

#[cfg(test)]
mod tests;
