use tokio::sync::watch;

/// Tells connections to finish what they have and take nothing new. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain(Option<watch::Receiver<bool>>);

impl Drain {
    /// Draining begins when the sender says `true`; a sender that is gone never will.
    pub const fn new(draining: watch::Receiver<bool>) -> Self {
        Self(Some(draining))
    }

    /// Nothing ever drains.
    pub const fn never() -> Self {
        Self(None)
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.0.as_ref().is_some_and(|draining| *draining.borrow())
    }

    /// Waits until draining begins.
    pub async fn draining(&mut self) {
        let begun = match &mut self.0 {
            Some(draining) => draining.wait_for(|draining| *draining).await.is_ok(),
            None => false,
        };
        if !begun {
            std::future::pending::<()>().await;
        }
    }
}
