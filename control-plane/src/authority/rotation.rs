//! From one root to the next.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use crate::authority::state::State;
use crate::authority::trust::Step;
use crate::authority::{Authority, RECORD, Source};
use crate::store::error::StoreError;
use crate::store::records::{Kept, Put, Shelf};

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

impl fmt::Display for NotNow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(reason) => f.write_str(reason),
            Self::Store(error) => error.fmt(f),
        }
    }
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

    /// All proxies of this control plane know a root. Which control planes have not said so.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn confirm(&self, root: &str, me: &str, all: &[String]) -> Result<Vec<String>, NotNow> {
        if !self.has_confirmed(root, me) {
            self.say(me, Some(root)).await?;
        }
        Ok(all.iter().filter(|id| !self.has_confirmed(root, id)).cloned().collect())
    }

    /// All proxies of all control planes know the newest root: it signs. Where it does, the old one is forgotten if nothing holds any more
    /// that it has signed.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn advance(&self, root: &str, now: SystemTime) -> Result<Looked, NotNow> {
        let mut said = "";
        let step = |state: &State| {
            // As it is in the store at this moment.
            let trust = self.trust();
            let rotation = trust.rotation;
            if trust.to_be_known() != Some(root) {
                return Ok(None);
            }
            let (next, what) = match rotation.step {
                Step::Distributing => (state.issue(now, SLACK), "the new root signs from now on"),
                Step::Issuing if rotation.until.is_none_or(|until| now >= until) => {
                    (state.forget(now), "the old root is no longer trusted")
                }
                Step::Issuing | Step::Steady => return Ok(None),
            };
            said = what;
            Ok(Some(next))
        };
        let done = self.step(step).await?;
        if done == Looked::Done {
            tracing::info!(target: "audit", root, "{said}");
        }
        Ok(done)
    }

    /// There is no rotation: nobody has to know what was confirmed in the last one.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn forget_confirmations(&self) -> Result<(), NotNow> {
        let said = self.store.records().list(Shelf::Authority).into_iter().filter(|(key, _)| key.starts_with(CONFIRMED));
        let put =
            |(key, kept): (Arc<str>, Kept)| Put { shelf: Shelf::Authority, key: key.to_string(), text: None, expected: Some(kept.version) };
        let puts: Vec<Put> = said.map(put).collect();
        // Who cannot read the newest record knows of no rotation.
        if puts.is_empty() || !self.is_made() || self.is_stale(&self.trust()) {
            return Ok(());
        }
        self.store.keep(puts).await.map(drop).map_err(NotNow::Store)
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
