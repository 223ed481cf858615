//! The pipe that splice(2) moves bytes through.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// What one call moves. Half the CPU of 256 KiB, as the receiver is woken less often; the largest that a user may ask for
/// (/proc/sys/fs/pipe-max-size).
const SIZE: usize = 1024 * 1024;
/// Pipes of one thread. A user who has more than 64 MiB of pipes is given tiny ones (pipe-user-pages-soft), and so is the
/// workload beside the proxy.
const MOST: usize = 16;

thread_local! {
    static OPEN: Cell<usize> = const { Cell::new(0) };
}

/// A pipe with room for long runs.
pub(super) struct Pipe {
    outlet: OwnedFd,
    inlet: OwnedFd,
    _counted: Counted,
}

impl Pipe {
    /// `None` when there are enough, or the system gives none of this size: copying is cheaper than a small pipe.
    pub(super) fn open() -> Option<Self> {
        let counted = Counted::begin()?;
        let made = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).and_then(|(outlet, inlet)| {
            fcntl_setpipe_size(&inlet, SIZE)?;
            Ok(Self { outlet, inlet, _counted: counted })
        });
        made.inspect_err(|error| tracing::debug!(%error, "no pipe for splice(2)")).ok()
    }

    pub(super) fn fill(&self, from: impl AsFd) -> io::Result<usize> {
        Ok(splice(from, None, &self.inlet, None, SIZE, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
    }

    pub(super) fn empty(&self, to: impl AsFd, length: usize) -> io::Result<usize> {
        Ok(splice(&self.outlet, None, to, None, length, SpliceFlags::MOVE | SpliceFlags::NONBLOCK)?)
    }
}

struct Counted;

impl Counted {
    fn begin() -> Option<Self> {
        let open = OPEN.get();
        (open < MOST).then(|| {
            OPEN.set(open.saturating_add(1));
            Self
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.set(OPEN.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_opens_so_many_pipes_and_no_more() {
        let pipes: Vec<_> = (0..MOST).map(|_| Counted::begin()).collect();
        assert!(pipes.iter().all(Option::is_some));
        assert!(Counted::begin().is_none());
        drop(pipes);
        assert!(Counted::begin().is_some());
    }
}
