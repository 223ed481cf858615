//! Header maps are used again: a map that was written to the wire serves the next head on this thread.

use std::cell::RefCell;

use http::HeaderMap;

/// Maps kept per thread: a few per request in progress at one instant.
const KEPT: usize = 32;
/// Larger maps are not worth their memory.
const KEPT_CAPACITY: usize = 64;

thread_local! {
    static MAPS: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty map with room for `fields`.
pub(super) fn take(fields: usize) -> HeaderMap {
    let kept = MAPS.with_borrow_mut(Vec::pop);
    kept.unwrap_or_else(|| HeaderMap::with_capacity(fields.max(16)))
}

/// Keeps a map that nobody needs any more.
pub(super) fn give(mut map: HeaderMap) {
    if map.capacity() == 0 || map.capacity() > KEPT_CAPACITY {
        return;
    }
    map.clear();
    MAPS.with_borrow_mut(|maps| {
        if maps.len() < KEPT {
            maps.push(map);
        }
    });
}
