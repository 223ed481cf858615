use std::cell::RefCell;
use std::mem;
use std::ops::{Deref, DerefMut};

/// What moves at once at most: sixteen records of TLS. Each piece wakes the next process, and with TLS on one side neither is soon
/// done with it: of larger pieces there are fewer, and both cost less in all.
pub const LARGE: usize = 256 * 1024;

/// Buffers kept per thread: one for what comes encrypted, and one for what goes on, each way.
const KEPT: usize = 3;

/// What may be kept for one direction of a stream whose connection may keep so much: in pieces that are worth a call.
pub fn most(buffer_limit: usize) -> usize {
    buffer_limit.clamp(16 * 1024, LARGE)
}

thread_local! {
    static BUFFERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer with anything in it. Once dropped, it serves the next of its size: at most times, connections of a thread need
/// one in turn.
#[derive(Debug)]
pub struct Lent(Box<[u8]>);

impl Lent {
    /// One that was given back, or a new one.
    pub fn take(size: usize) -> Self {
        let kept = BUFFERS.with_borrow_mut(|buffers| {
            let at = buffers.iter().position(|buffer| buffer.len() == size)?;
            Some(buffers.swap_remove(at))
        });
        Self(kept.unwrap_or_else(|| vec![0; size].into_boxed_slice()))
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
            buffers.push(buffer);
            // The oldest goes: sizes that nobody needs any more would keep out those that are in use.
            if buffers.len() > KEPT {
                buffers.remove(0);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_serves_the_next_and_no_more_are_kept_than_three() {
        let lent: Vec<_> = (0..KEPT + 1).map(|_| Lent::take(LARGE)).collect();
        assert!(lent.iter().all(|buffer| buffer.len() == LARGE));
        drop(lent);
        assert_eq!(BUFFERS.with_borrow(Vec::len), KEPT);
        let taken = [Lent::take(LARGE), Lent::take(1000)];
        assert_eq!((BUFFERS.with_borrow(Vec::len), taken[1].len()), (KEPT - 1, 1000));
    }

    #[test]
    fn buffers_of_another_size_do_not_keep_out_those_in_use() {
        drop((0..KEPT).map(|_| Lent::take(1000)).collect::<Vec<_>>());
        drop(Lent::take(LARGE));
        assert!(BUFFERS.with_borrow(|buffers| buffers.len() == KEPT && buffers.iter().any(|buffer| buffer.len() == LARGE)));
    }
}
