//! The authority of the mesh: who is trusted, and certificates that say who a workload is.
//!
//! Its root is made here and kept in the store, encrypted, so that all replicas have the same; or its certificate and key come from
//! files. What signs is behind [`Issuer`](crate::authority::issuer::Issuer), which another program's authority can be, too. A request
//! goes through [`certify`](crate::authority::certify): who asks is known by a token or a certificate, what a certificate says comes
//! from that, and never from the request.
//!
//! A root is changed without anybody losing trust: first the new one is made known, then it signs, and when nothing holds any more that
//! the old one has signed, that is forgotten.

/// Callers, and what they are known by.
pub mod caller;
/// Certificates of authorities.
mod certificate;
/// From a request to a certificate.
pub mod certify;
/// What happened, for metrics.
pub mod counters;
/// Requests for certificates.
pub mod csr;
/// Certificate and key from files.
pub mod given;
/// Certificates that hold.
mod issued;
/// Who signs.
pub mod issuer;
/// Service accounts of Kubernetes.
pub mod kubernetes;
/// What certificates say of labels.
mod limits;
/// Lists of those that were revoked.
pub mod lists;
/// How often.
mod rate;
/// Certificates that are no longer good.
pub mod revocation;
/// From one root to the next.
pub mod rotation;
/// Encrypts keys.
mod seal;
/// The secure port's side of TLS.
pub mod server;
/// What the store keeps.
mod state;
/// Digits.
pub(crate) mod text;
/// Who signs and who is trusted.
pub mod trust;
/// Certificates that are shown.
mod verify;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::keyfile::Key;
use crate::model::identity::Identity;
use crate::places::Places;
use crate::store::Store;
use crate::store::records::{Put, Shelf};

use counters::Counters;
use given::{Content, Files};
use rate::Rate;
use seal::Seal;
use state::State;
use trust::Trust;

pub use certificate::Root;

/// No certificate holds for less: there has to be time to renew it.
pub const SHORTEST: Duration = Duration::from_secs(10);
/// No certificate holds for longer.
pub const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// The record of an authority that is made here.
const RECORD: &str = "roots";
/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Callers about whom somebody outside is asked at a time.
const ASKING: usize = 512;
/// Of those, when half of them are there, an address may have one of so many.
const SHARE: usize = 32;
/// Others make it at the same time.
const TRIES: usize = 5;

/// How long certificates hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Where nothing is said.
    pub usual: Duration,
    /// At most.
    pub longest: Duration,
}

/// Where the authority comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is made here; its keys are encrypted with that of a file.
    Made(PathBuf),
    /// From files.
    Given(Files),
}

enum Source {
    Made {
        seal: Seal,
        /// Of the file.
        key: Key,
        /// It was made at this start: nobody has trusted it before.
        is_new: bool,
    },
    Given {
        files: Files,
        content: Mutex<Content>,
    },
    /// Another program's, which says itself who is trusted.
    Outside,
}

/// See the module.
pub struct Authority {
    /// Whose identities these are.
    pub trust_domain: Arc<str>,
    /// How long certificates hold.
    pub times: Times,
    /// For metrics.
    pub counters: Counters,
    store: Store,
    source: Source,
    trust: ArcSwap<Trust>,
    /// It has changed.
    changed: watch::Sender<u64>,
    /// What is revoked has changed.
    revoked: watch::Sender<u64>,
    /// Why what is newest is not in use.
    fault: Mutex<Option<String>>,
    /// Why proxies are not told what is revoked.
    list_fault: Mutex<Option<String>>,
    /// Whom a rotation waits for.
    waits_for: Mutex<Vec<String>>,
    /// Callers that prove nothing, by where they come from.
    failures: Rate<IpAddr>,
    /// Questions to somebody outside about callers who could not show who they are, by where those come from.
    questions: Rate<IpAddr>,
    /// Callers about whom somebody outside is being asked.
    asking: Arc<Places<IpAddr>>,
    /// Requests of each.
    requests: Rate<Identity>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("trust_domain", &self.trust_domain).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens it, or makes it, if this is the first start.
    ///
    /// # Errors
    /// Why there can be none.
    pub async fn open(trust_domain: Arc<str>, times: Times, origin: Origin, store: &Store) -> Result<Arc<Self>, String> {
        let (source, trust) = match origin {
            Origin::Made(path) => made(&trust_domain, path, store, times.longest).await?,
            Origin::Given(files) => {
                let content = files.read()?;
                let trust = files.trust(&content, &trust_domain).await?;
                (Source::Given { files, content: Mutex::new(content) }, trust)
            }
        };
        Ok(Self::with(trust_domain, times, store.clone(), source, trust))
    }

    /// One that another program is.
    pub fn outside(trust_domain: Arc<str>, times: Times, trust: Trust, store: &Store) -> Arc<Self> {
        Self::with(trust_domain, times, store.clone(), Source::Outside, trust)
    }

    fn with(trust_domain: Arc<str>, times: Times, store: Store, source: Source, trust: Trust) -> Arc<Self> {
        let until = humantime::format_rfc3339_seconds(trust.current.not_after);
        tracing::info!(%trust_domain, root = trust.current.fingerprint, %until, "the authority is there");
        Arc::new(Self {
            trust_domain,
            times,
            counters: Counters::default(),
            store,
            source,
            trust: ArcSwap::from_pointee(trust),
            changed: watch::Sender::new(0),
            revoked: watch::Sender::new(0),
            fault: Mutex::default(),
            list_fault: Mutex::default(),
            waits_for: Mutex::default(),
            failures: Rate::new(100.0, 5.0),
            questions: Rate::new(100.0, 5.0),
            asking: Places::new(ASKING, ASKING / SHARE),
            // Thousands of processes may have one account, and all of them may start at once.
            requests: Rate::new(5_000.0, 500.0),
        })
    }

    /// Who signs and who is trusted now.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.load_full()
    }

    /// Hears when that has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether its root is made here.
    pub const fn is_made(&self) -> bool {
        matches!(self.source, Source::Made { .. })
    }

    /// Whether it was made at this start: nobody has trusted it before.
    pub const fn is_new(&self) -> bool {
        matches!(self.source, Source::Made { is_new: true, .. })
    }

    /// That of the file by which its own keys are encrypted, if it was made here.
    pub const fn key(&self) -> Option<&Key> {
        match &self.source {
            Source::Made { key, .. } => Some(key),
            Source::Given { .. } | Source::Outside => None,
        }
    }

    /// Why what is newest is not in use.
    pub fn fault(&self) -> Option<String> {
        let of = |fault: &Mutex<Option<String>>| fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        of(&self.fault).or_else(|| of(&self.list_fault))
    }

    /// How long anything may hold that was given, by whomever.
    fn longest(&self) -> Duration {
        self.trust().longest.map_or(self.times.longest, |longest| longest.max(self.times.longest))
    }

    fn set_list_fault(&self, problem: Option<String>) {
        let mut fault = self.list_fault.lock().unwrap_or_else(PoisonError::into_inner);
        if *fault != problem {
            match &problem {
                Some(problem) => tracing::error!(problem, "proxies cannot be told which certificates are revoked"),
                None => tracing::info!("proxies can be told again which certificates are revoked"),
            }
            *fault = problem.map(|problem| format!("proxies cannot be told which certificates are revoked: {problem}"));
        }
    }

    fn set_fault(&self, problem: Option<String>) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if *fault != problem {
            match &problem {
                Some(problem) => tracing::error!(problem, "the authority's newest state cannot be used; the last good one stays"),
                None => tracing::info!("the authority's newest state can be used again"),
            }
            *fault = problem;
        }
    }

    fn replace(&self, trust: Trust) {
        let (before, root) = (self.trust(), trust.current.fingerprint.clone());
        tracing::info!(root, roots = trust.roots.len(), step = trust.rotation.step.as_str(), "who is trusted has changed");
        if before.current.not_after != trust.current.not_after {
            let until = humantime::format_rfc3339_seconds(trust.current.not_after);
            tracing::info!(root, %until, "another root signs");
        }
        self.trust.store(Arc::new(trust));
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Follows what others change, until it is time to stop.
    pub async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let follows = async {
            match &self.source {
                Source::Made { seal, .. } => {
                    let mut changes = self.store.records().changes();
                    while changes.changed().await.is_ok() {
                        self.reread(seal);
                    }
                }
                Source::Given { files, content } => loop {
                    tokio::time::sleep(LOOK).await;
                    self.look(files, content).await;
                },
                Source::Outside => std::future::pending().await,
            }
        };
        tokio::select! {
            // That nobody can say so any more is the same.
            _ = stop.wait_for(|stop| *stop) => {}
            _ = async { tokio::join!(follows, self.follow_revocations(), self.tidy()) } => {}
        }
    }

    /// Whether others have changed who signs.
    fn is_stale(&self, trust: &Trust) -> bool {
        self.is_made() && self.store.records().get(Shelf::Authority, RECORD).is_none_or(|kept| kept.version != trust.version)
    }

    fn refresh(&self) {
        if let Source::Made { seal, .. } = &self.source {
            self.reread(seal);
        }
    }

    fn reread(&self, seal: &Seal) {
        let Some(kept) = self.store.records().get(Shelf::Authority, RECORD).filter(|kept| kept.version != self.trust().version) else {
            return;
        };
        let read = State::read(&kept.text).and_then(|state| state.trust(&self.trust_domain, seal, kept.version));
        match read {
            Ok(trust) => {
                self.replace(trust);
                self.set_fault(None);
            }
            Err(problem) => self.set_fault(Some(problem)),
        }
    }

    async fn look(&self, files: &Files, known: &Mutex<Content>) {
        let content = match files.read() {
            Ok(content) => content,
            Err(problem) => return self.set_fault(Some(problem)),
        };
        if content == *known.lock().unwrap_or_else(PoisonError::into_inner) {
            return self.set_fault(None);
        }
        // Files are written one after the other: what does not fit together yet may do so at the next look.
        match files.trust(&content, &self.trust_domain).await {
            Ok(trust) => {
                *known.lock().unwrap_or_else(PoisonError::into_inner) = content;
                self.replace(trust);
                self.set_fault(None);
            }
            Err(problem) => self.set_fault(Some(problem)),
        }
    }
}

/// The authority of the store, which is made if there is none.
async fn made(trust_domain: &str, path: PathBuf, store: &Store, longest: Duration) -> Result<(Source, Trust), String> {
    let failed = |error: io::Error| format!("--ca-key-file {}: {error}", path.display());
    let mut is_new = false;
    for _ in 0..TRIES {
        let kept = store.records().get(Shelf::Authority, RECORD);
        let key = match (Key::read(&path), &kept) {
            (Err(error), Some(_)) if error.kind() == io::ErrorKind::NotFound => {
                let rule = "the store has an authority, and its keys are encrypted with a key file that is not here; all control planes \
                            that share a store need the same";
                return Err(format!("--ca-key-file {}: {rule}", path.display()));
            }
            (_, None) => Key::open(&path).map_err(failed)?,
            (read, Some(_)) => read.map_err(failed)?,
        };
        let seal = Seal::new(&key).ok_or_else(|| failed(io::Error::other("nothing can be encrypted with it")))?;
        if let Some(kept) = kept {
            let state = State::read(&kept.text)?;
            // Before anything holds for so long, all control planes know that it may.
            if let Some(longer) = state.longer(longest) {
                let text = Some(longer.text());
                let put = Put { shelf: Shelf::Authority, key: RECORD.to_owned(), text, expected: Some(kept.version) };
                let _is_ours = store.keep(vec![put]).await.map_err(|error| error.to_string())?;
                continue;
            }
            let trust = state.trust(trust_domain, &seal, kept.version).map_err(|problem| {
                format!("{problem}; --ca-key-file is {}, and all control planes that share a store need the same", path.display())
            })?;
            return Ok((Source::Made { seal, key, is_new }, trust));
        }
        let first = State::first(trust_domain, &seal, SystemTime::now(), longest)?;
        let put = Put { shelf: Shelf::Authority, key: RECORD.to_owned(), text: Some(first.text()), expected: Some(0) };
        // If another control plane was faster, its authority is the one.
        is_new = store.keep(vec![put]).await.map_err(|error| error.to_string())? == [true];
    }
    Err("the authority cannot be made: the store does not keep it".to_owned())
}

#[cfg(test)]
mod tests;
