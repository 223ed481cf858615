use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// Codes that are told apart; further ones are only in their class. Services use fewer than ten.
const SLOTS: usize = 24;
/// The low bits of a slot are its count, the others its code.
const COUNT_BITS: u32 = 54;

/// Answers by status code. Made when the first answer is counted; a slot for each code that was seen.
#[derive(Debug, Default)]
pub struct StatusCodes(OnceLock<Box<[AtomicU64; SLOTS]>>);

impl StatusCodes {
    /// Counts an answer.
    pub fn inc(&self, status: StatusCode) {
        let slots = self.0.get_or_init(Box::default);
        let code = u64::from(status.as_u16());
        for slot in slots.iter() {
            let mut found = slot.load(Ordering::Relaxed);
            if found == 0 {
                match slot.compare_exchange(0, (code << COUNT_BITS) | 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return,
                    Err(other) => found = other,
                }
            }
            if found >> COUNT_BITS == code {
                slot.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Each code that was seen, with its count, in order.
    pub fn values(&self) -> Vec<(u64, u64)> {
        let slots = self.0.get().map_or(&[][..], |slots| &slots[..]);
        let values = slots.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|slot| *slot != 0);
        let mut values: Vec<_> = values.map(|slot| (slot >> COUNT_BITS, slot & ((1 << COUNT_BITS) - 1))).collect();
        values.sort_unstable();
        values
    }

    /// All begin at 0 again; codes once seen stay listed.
    pub fn reset(&self) {
        for slot in self.0.get().into_iter().flat_map(|slots| slots.iter()) {
            slot.fetch_and(!((1 << COUNT_BITS) - 1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn each_code_has_its_own_count() {
        let codes = StatusCodes::default();
        assert!(codes.values().is_empty());
        for code in [503, 200, 503, 999] {
            codes.inc(status(code));
        }
        assert_eq!(codes.values(), [(200, 1), (503, 2), (999, 1)]);
        codes.reset();
        codes.inc(status(200));
        assert_eq!(codes.values(), [(200, 1), (503, 0), (999, 0)]);
    }

    #[test]
    fn an_upstream_that_invents_codes_cannot_grow_it() {
        let codes = StatusCodes::default();
        for code in 100..1000 {
            codes.inc(status(code));
        }
        assert_eq!(codes.values().len(), SLOTS);
    }

    #[test]
    fn threads_that_meet_lose_nothing() {
        let codes = StatusCodes::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|turn| codes.inc(status(200 + turn % 5))));
            }
        });
        assert_eq!(codes.values().iter().map(|(_, count)| count).sum::<u64>(), 4000);
    }
}
