use std::cell::RefCell;
use std::mem;
use std::ops::{Deref, DerefMut};

/// What moves at once at most: sixteen records of TLS. Each piece wakes the next process, and with TLS on one side neither is soon
/// done with it: of larger pieces there are fewer, and both cost less in all.
pub const LARGE: usize = 256 * 1024;

/// Buffers kept per thread: one for what comes encrypted, and one for what goes on, each way.
const KEPT: usize = 3;

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`LARGE`] bytes with anything in it. Once dropped, it serves the next: at most times, connections of a thread need
/// one in turn.
#[derive(Debug)]
pub struct Lent(Box<[u8]>);

impl Lent {
    /// One that was given back, or a new one.
    pub fn take() -> Self {
        let kept = BUFFERS.with_borrow_mut(Vec::pop);
        Self(kept.unwrap_or_else(|| vec![0; LARGE].into_boxed_slice()))
    }
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = mem::take(&mut self.0);
        // A thread that ends keeps none any more.
        let _ended = BUFFERS.try_with(|buffers| {
            let mut buffers = buffers.borrow_mut();
            if buffers.len() < KEPT {
                buffers.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_serves_the_next_and_no_more_are_kept_than_three() {
        let lent: Vec<_> = (0..KEPT + 1).map(|_| Lent::take()).collect();
        assert!(lent.iter().all(|buffer| buffer.len() == LARGE));
        drop(lent);
        assert_eq!(BUFFERS.with_borrow(Vec::len), KEPT);
        let _taken = Lent::take();
        assert_eq!(BUFFERS.with_borrow(Vec::len), KEPT - 1);
    }
}
