use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is seldom woken, beside one that is woken for every byte: polled only when it was woken itself. Signals and timers
/// are not free to ask, and a connection has several that it waits for all its life.
#[derive(Debug)]
pub struct Seldom<F> {
    future: Pin<Box<F>>,
    own: Arc<Own>,
    /// Of `own`, made once.
    waker: Waker,
    /// Who polled last, and is to be woken.
    task: Option<Waker>,
}

#[derive(Debug)]
struct Own {
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Own {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F: Future> Seldom<F> {
    /// The first poll asks it.
    pub fn new(future: F) -> Self {
        let own = Arc::new(Own { woken: AtomicBool::new(true), task: Mutex::new(None) });
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&own)), own, task: None }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if !this.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            this.task = Some(cx.waker().clone());
            // Before the look at `woken`: who wakes it from now on, wakes this task.
            this.own.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&this.task);
        }
        if !this.own.woken.load(Ordering::SeqCst) || !this.own.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        this.future.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::OwnedTask;
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::sync::watch;

    #[tokio::test(start_paused = true)]
    async fn it_is_asked_only_when_it_was_woken() {
        let (sender, mut receiver) = watch::channel(0);
        let asked = Cell::new(0);
        let mut inner = Box::pin(async move { receiver.wait_for(|seen| *seen == 2).await.map(|seen| *seen) });
        let counted = poll_fn(|cx| {
            asked.set(asked.get() + 1);
            inner.as_mut().poll(cx)
        });
        let mut seldom = Seldom::new(counted);
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        for tick in 0..10 {
            if tick == 5 {
                sender.send_replace(1);
            }
            tokio::select! {
                biased;
                _ = &mut seldom => panic!("not yet"),
                _ = ticks.tick() => {}
            }
        }
        assert_eq!(asked.get(), 2, "at first, and at the change");
        sender.send_replace(2);
        assert_eq!(seldom.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn whoever_waits_last_is_woken() {
        let (sender, mut receiver) = watch::channel(false);
        let mut seldom = Seldom::new(async move { receiver.wait_for(|told| *told).await.is_ok() });
        let once = poll_fn(|cx| Poll::Ready(Pin::new(&mut seldom).poll(cx).is_ready())).await;
        assert!(!once);
        let here = tokio::task::LocalSet::new();
        let told = here.run_until(async move {
            let waiting = OwnedTask::spawn(seldom);
            tokio::task::yield_now().await;
            sender.send_replace(true);
            tokio::time::timeout(Duration::from_secs(5), waiting.join()).await
        });
        assert_eq!(told.await.unwrap(), Some(true));
    }
}
