//! Values that change while others refer to them.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// A value that is replaced while others refer to it: a certificate is renewed, and who shows it goes on as it is. Clones are the
/// same value.
pub struct Current<T>(Arc<ArcSwap<T>>);

impl<T> Current<T> {
    /// What it is at first.
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// What it is now.
    pub fn load(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Whether it still is what was loaded.
    pub fn is(&self, loaded: &Arc<T>) -> bool {
        Arc::ptr_eq(&self.0.load(), loaded)
    }

    /// What it is from now on.
    pub fn replace(&self, value: Arc<T>) {
        self.0.store(value);
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for Current<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refers_to_it_sees_what_it_is_now() {
        let current = Current::new(1);
        let (other, loaded) = (current.clone(), current.load());
        assert!(other.is(&loaded));
        current.replace(Arc::new(1));
        assert!(!other.is(&loaded), "an equal value is another one");
        current.replace(Arc::new(2));
        assert_eq!((*other.load(), *loaded), (2, 1));
    }
}
