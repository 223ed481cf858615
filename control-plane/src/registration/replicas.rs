use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::watch;

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::records::{Put, Shelf};

/// Each says so often that it lives.
const BEAT: Duration = Duration::from_secs(2);
/// One that is silent for so many beats does not.
const SILENT: u32 = 5;

/// Which control planes live that share the store.
///
/// Clocks are not compared. What counts is how often this one could say that it lives while another one said nothing: when the store
/// does not answer, nobody can say anything, and nobody is taken for dead.
#[derive(Debug)]
pub struct Replicas {
    store: Store,
    me: String,
    others: Mutex<BTreeMap<String, Heard>>,
}

/// What was heard of another one.
#[derive(Debug, Default)]
struct Heard {
    version: u64,
    silent: u32,
}

impl Replicas {
    /// This one is `me`.
    pub const fn new(store: Store, me: String) -> Self {
        Self { store, me, others: Mutex::new(BTreeMap::new()) }
    }

    /// This one.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// All that live, and this one.
    pub fn live(&self) -> Vec<String> {
        let others = self.store.records().list(Shelf::Replicas).into_keys().map(|id| id.to_string());
        let others = others.filter(|id| *id != self.me && self.is_live(id));
        std::iter::once(self.me.clone()).chain(others).collect()
    }

    /// Whether one lives.
    pub fn is_live(&self, id: &str) -> bool {
        if id == self.me {
            return true;
        }
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = others.get(id).is_some_and(|heard| heard.silent >= SILENT);
        self.store.is_shared() && !is_silent && self.store.records().get(Shelf::Replicas, id).is_some()
    }

    /// Says that this one lives, as long as it does; `changed` is told when one is found dead.
    pub async fn run(&self, changed: &Notify, mut stop: watch::Receiver<bool>) {
        if !self.store.is_shared() {
            return;
        }
        tracing::info!(replica = self.me, "the store is shared; this control plane's name among those that do");
        let mut count: u64 = 0;
        loop {
            count = count.saturating_add(1);
            let said = self.put(Some(count.to_string())).await;
            if said.is_err() && count == 1 {
                tracing::warn!("other control planes cannot be told of this one yet");
            }
            for dead in self.listen(said.is_ok()) {
                tracing::warn!(replica = dead, "another control plane is gone; its sidecars are waited for");
                let forgotten = self.store.keep(vec![Put { shelf: Shelf::Replicas, key: dead, text: None, expected: None }]).await;
                if let Err(error) = forgotten {
                    tracing::warn!(%error, "a control plane that is gone cannot be forgotten");
                }
                changed.notify_one();
            }
            // That nobody can say so any more is the same as being told.
            if tokio::time::timeout(BEAT, stop.wait_for(|stop| *stop)).await.is_ok() {
                break;
            }
        }
        // Its sidecars are waited for from now on.
        if !tokio::time::timeout(BEAT, self.put(None)).await.is_ok_and(|told| told.is_ok()) {
            tracing::warn!("other control planes cannot be told that this one ends; they will find out");
        }
    }

    async fn put(&self, text: Option<String>) -> Result<(), StoreError> {
        self.store.keep(vec![Put { shelf: Shelf::Replicas, key: self.me.clone(), text, expected: None }]).await.map(drop)
    }

    /// One beat has passed; those that are found dead by it.
    fn listen(&self, counts: bool) -> Vec<String> {
        let kept = self.store.records().list(Shelf::Replicas);
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.retain(|id, _| kept.contains_key(id.as_str()));
        let mut dead = Vec::new();
        for (id, kept) in kept.iter().filter(|(id, _)| ***id != *self.me) {
            let heard = others.entry(id.to_string()).or_default();
            let is_silent = counts && heard.version == kept.version;
            heard.version = kept.version;
            heard.silent = if is_silent { heard.silent.saturating_add(1) } else { 0 };
            if heard.silent >= SILENT {
                dead.push(id.to_string());
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Limits;
    use crate::store::embedded::tests::Folder;

    #[tokio::test]
    async fn one_is_dead_when_it_is_silent_while_this_one_can_speak() {
        let folder = Folder::new();
        let store = Store::embedded(folder.path(), Limits::default()).await.unwrap();
        let replicas = Replicas::new(store, "me".to_owned());
        let says = async |count: u32| {
            let put = Put { shelf: Shelf::Replicas, key: "other".to_owned(), text: Some(count.to_string()), expected: None };
            replicas.store.keep(vec![put]).await.unwrap();
        };
        replicas.put(Some("1".to_owned())).await.unwrap();
        says(1).await;
        let silent = |beats: u32| (0..beats).all(|_| replicas.listen(true).is_empty());
        assert!(silent(SILENT), "it has just been heard");
        says(2).await;
        assert!(silent(SILENT));
        // The store did not answer: it may have spoken in vain.
        assert!(replicas.listen(false).is_empty());
        assert!(silent(SILENT - 1));
        assert_eq!(replicas.listen(true), ["other"]);
        says(3).await;
        assert!(replicas.listen(true).is_empty(), "it speaks again");
    }

    #[tokio::test]
    async fn alone_with_a_store_only_this_one_lives() {
        let folder = Folder::new();
        let replicas = Replicas::new(Store::embedded(folder.path(), Limits::default()).await.unwrap(), "me".to_owned());
        assert!(replicas.is_live("me") && !replicas.is_live("before the restart"));
    }
}
