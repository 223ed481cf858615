//! Keys that are fetched: one set for all workers, which outlives changes of the configuration that do not concern it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::jwt::RemoteJwks;
use crate::config::jwt::keys::Key;
use crate::filter::jwt::KeysNow;

/// Requests that may wait for one set of keys. More are refused: whoever has a token need not have a good one.
const MOST_WAITING: usize = 1024;

/// The keys of one server.
#[derive(Debug)]
pub struct Fetched {
    /// Where they are fetched.
    pub source: Arc<RemoteJwks>,
    known: ArcSwap<Known>,
    /// Somebody fetches.
    fetching: AtomicBool,
    /// Somebody fetches them before they are asked for.
    kept: AtomicBool,
    waiting: AtomicUsize,
    ended: watch::Sender<()>,
}

/// What was fetched. The last good keys stay until others are there.
#[derive(Clone, Debug)]
struct Known {
    keys: Option<Arc<[Key]>>,
    /// Then they are fetched again; `None`: now.
    until: Option<Instant>,
}

/// One of those that wait; counts until dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Fetched);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Fetched {
    /// Nothing is fetched yet.
    pub fn new(source: Arc<RemoteJwks>) -> Self {
        Self {
            source,
            known: ArcSwap::from_pointee(Known { keys: None, until: None }),
            fetching: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            ended: watch::Sender::new(()),
        }
    }

    /// What is known at this moment.
    pub fn now(&self) -> KeysNow {
        let known = self.known.load();
        if known.until.is_none_or(|until| Instant::now() >= until) { KeysNow::Awaited } else { known.last() }
    }

    /// The last good keys, however old.
    pub fn last(&self) -> KeysNow {
        self.known.load().last()
    }

    /// Whether the caller is to fetch; nobody else does until it says how it went.
    pub fn begin(&self) -> bool {
        !self.fetching.swap(true, Ordering::AcqRel)
    }

    /// How fetching went. Whoever waits is told.
    pub fn end(&self, fetched: Option<Arc<[Key]>>) {
        let pause = if fetched.is_some() { self.source.cache } else { self.source.pause };
        let keys = fetched.or_else(|| self.known.load().keys.clone());
        // A time that is too far to tell is fetched again, which does no harm.
        self.known.store(Arc::new(Known { keys, until: Instant::now().checked_add(pause) }));
        self.fetching.store(false, Ordering::Release);
        self.ended.send_replace(());
    }

    /// One more that waits; `None` where too many do.
    pub fn enter(&self) -> Option<(Waiting<'_>, watch::Receiver<()>)> {
        let one_more = |waiting: usize| (waiting < MOST_WAITING).then_some(waiting.saturating_add(1));
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some((Waiting(self), self.ended.subscribe()))
    }

    /// Whether the caller is to keep them current from now on.
    pub fn keep(&self) -> bool {
        self.source.ahead && !self.kept.swap(true, Ordering::AcqRel)
    }
}

impl Known {
    fn last(&self) -> KeysNow {
        self.keys.clone().map_or(KeysNow::Failed, KeysNow::Known)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::HeaderValue;

    use super::*;
    use crate::config::ClusterName;
    use crate::config::jwt::keys::PublicKey;

    fn fetched() -> Fetched {
        let text = HeaderValue::from_static("x");
        Fetched::new(Arc::new(RemoteJwks {
            cluster: ClusterName::from("c"),
            scheme: text.clone(),
            authority: text,
            path: "/".to_owned(),
            timeout: Duration::from_secs(1),
            cache: Duration::from_secs(100),
            ahead: true,
            pause: Duration::from_secs(1),
        }))
    }

    fn keys() -> Arc<[Key]> {
        [Key { id: None, algorithm: None, public: PublicKey::Ed25519(vec![1; 32]) }].into()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_keys_stay_when_fetching_fails() {
        let fetched = fetched();
        assert!(matches!(fetched.now(), KeysNow::Awaited));
        fetched.end(None);
        assert!(matches!(fetched.now(), KeysNow::Failed));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(fetched.now(), KeysNow::Awaited));
        fetched.end(Some(keys()));
        assert!(matches!(fetched.now(), KeysNow::Known(_)));
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(matches!(fetched.now(), KeysNow::Awaited));
        fetched.end(None);
        assert!(matches!(fetched.now(), KeysNow::Known(_)));
    }

    #[tokio::test]
    async fn one_fetches_for_all_and_not_all_may_wait() {
        let fetched = fetched();
        assert_eq!((fetched.begin(), fetched.begin()), (true, false));
        let waiting: Vec<_> = (0..MOST_WAITING).map(|_| fetched.enter().unwrap()).collect();
        assert!(fetched.enter().is_none());
        drop(waiting);
        let (_one, mut ended) = fetched.enter().unwrap();
        fetched.end(None);
        ended.changed().await.unwrap();
        assert!(fetched.begin());
        assert_eq!((fetched.keep(), fetched.keep()), (true, false));
    }
}
