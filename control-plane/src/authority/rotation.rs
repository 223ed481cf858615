//! From one root to the next.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use crate::authority::state::State;
use crate::authority::trust::Step;
use crate::authority::{Authority, RECORD, Source};
use crate::store::error::StoreError;
use crate::store::records::{Put, Shelf};

/// Another control plane may hear of a step a little later, and sign with the old root until then.
const SLACK: Duration = Duration::from_secs(5);
/// Control planes say under this name, and their own, which root all their proxies know.
const CONFIRMED: &str = "confirmed.";

/// Why a rotation does not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// It is not possible.
    Conflict(String),
    /// The store refuses.
    Store(StoreError),
}

/// A step that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// There is nothing to do.
    Nothing,
    /// It was done.
    Done,
    /// Others were faster, or it is to be waited.
    Again,
}

impl Authority {
    /// Makes a new root, and makes it known.
    ///
    /// # Errors
    /// If there is a rotation already, or the root is not made here.
    pub async fn rotate(&self) -> Result<(), NotNow> {
        let Source::Made { seal, .. } = &self.source else {
            let rule = "the authority's certificate comes from files: put both roots into the file of --ca-root first, and the new \
                        certificate and key in their place when all proxies have them";
            return Err(NotNow::Conflict(rule.to_owned()));
        };
        let begun = self.step(|state| state.begin(seal, SystemTime::now()).map(Some)).await?;
        if begun == Looked::Done {
            tracing::info!(target: "audit", "the rotation of the root was begun");
            return Ok(());
        }
        Err(NotNow::Conflict("another control plane changes the authority at this moment; try again".to_owned()))
    }

    /// The fingerprint of the newest root, which is not known everywhere yet.
    pub fn to_be_known(&self) -> Option<String> {
        let trust = self.trust();
        let newest = trust.roots.last().filter(|_| trust.rotation.step == Step::Distributing);
        newest.map(|root| root.fingerprint.clone())
    }

    /// All proxies of this control plane know a root. When that is so for all control planes, it signs.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn confirm(&self, root: &str, me: &str, all: &[String]) -> Result<Looked, NotNow> {
        if !self.is_made() {
            return Ok(Looked::Nothing);
        }
        if !self.has_confirmed(root, me) {
            self.say(me, Some(root)).await?;
        }
        if !all.iter().all(|id| self.has_confirmed(root, id)) {
            return Ok(Looked::Again);
        }
        let now = SystemTime::now();
        let done = self.step(|state| Ok((self.to_be_known().as_deref() == Some(root)).then(|| state.issue(now, SLACK)))).await?;
        if done == Looked::Done {
            tracing::info!(target: "audit", root, "the new root signs from now on");
        }
        Ok(done)
    }

    /// Whether a control plane has said that all its proxies know a root.
    pub fn has_confirmed(&self, root: &str, id: &str) -> bool {
        self.store.records().get(Shelf::Authority, &format!("{CONFIRMED}{id}")).is_some_and(|kept| *kept.text == *root)
    }

    /// Not all proxies of this control plane know the newest root: what it has said before does not hold.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn take_back(&self, me: &str) -> Result<(), NotNow> {
        match self.store.records().get(Shelf::Authority, &format!("{CONFIRMED}{me}")) {
            Some(_) => self.say(me, None).await,
            None => Ok(()),
        }
    }

    async fn say(&self, me: &str, root: Option<&str>) -> Result<(), NotNow> {
        let put = Put { shelf: Shelf::Authority, key: format!("{CONFIRMED}{me}"), text: root.map(ToOwned::to_owned), expected: None };
        self.store.keep(vec![put]).await.map(drop).map_err(NotNow::Store)
    }

    /// Forgets the old root, if nothing holds any more that it has signed.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn forget(&self, now: SystemTime) -> Result<Looked, NotNow> {
        let (store, rotation) = (&self.store, self.trust().rotation);
        if !self.is_made() || rotation.step != Step::Issuing || rotation.until.is_some_and(|until| now < until) {
            return Ok(Looked::Nothing);
        }
        let done = self.step(|state| Ok(Some(state.forget(now)))).await?;
        if done == Looked::Done {
            tracing::info!(target: "audit", "the old root is no longer trusted");
            let said = store.records().list(Shelf::Authority).into_keys().filter(|key| key.starts_with(CONFIRMED));
            let puts = said.map(|key| Put { shelf: Shelf::Authority, key: key.to_string(), text: None, expected: None });
            store.keep(puts.collect()).await.map_err(NotNow::Store)?;
        }
        Ok(done)
    }

    /// Whom the rotation waits for.
    pub fn waits_for(&self) -> Vec<String> {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says whom the rotation waits for.
    pub fn wait_for(&self, who: Vec<String>) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = who;
    }

    /// Changes the record as this control plane knows it, if nobody else has.
    async fn step(&self, change: impl FnOnce(&State) -> Result<Option<State>, String>) -> Result<Looked, NotNow> {
        let (Source::Made { seal, .. }, store) = (&self.source, &self.store) else { return Ok(Looked::Nothing) };
        self.reread(seal);
        let kept = store.records().get(Shelf::Authority, RECORD);
        let Some(kept) = kept.filter(|kept| kept.version == self.trust().version) else {
            return Err(NotNow::Conflict(self.fault().unwrap_or_else(|| "the authority is not in the store any more".to_owned())));
        };
        let state = State::read(&kept.text).map_err(NotNow::Conflict)?;
        let Some(state) = change(&state).map_err(NotNow::Conflict)? else { return Ok(Looked::Nothing) };
        let put = Put { shelf: Shelf::Authority, key: RECORD.to_owned(), text: Some(state.text()), expected: Some(kept.version) };
        let kept = store.keep(vec![put]).await.map_err(NotNow::Store)?;
        self.reread(seal);
        Ok(if kept == [true] { Looked::Done } else { Looked::Again })
    }
}
