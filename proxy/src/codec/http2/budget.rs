//! What a peer may have us do for nothing: control frames without requests or data, and long turns of one connection.

use std::time::Duration;

use tokio::time::Instant;

/// Control frames in a second beyond those that requests and data explain: far more than a peer sends that probes, estimates
/// its bandwidth and opens its windows; far fewer than would be felt.
const CONTROL_FRAMES: u64 = 1000;
const CONTROL_PERIOD: Duration = Duration::from_secs(1);
/// Control frames that each HEADERS or DATA from the peer explains.
const FOR_EACH_MESSAGE_FRAME: u64 = 8;
/// Control frames that our own bytes explain: one for so many.
const FOR_OUR_BYTES: u64 = 64;

/// Bytes that are read in one turn of the connection's task before others have theirs.
const TURN_BYTES: usize = 64 * 1024;
/// What a byte of a head counts: it may be a whole field (RFC 7541, 6.1), which costs far more than a byte of data.
const HEAD_BYTE: usize = 64;
/// Bytes of one read after a turn that heads used up: `h2` decodes all that was read at once.
const SMALL_READ: usize = 1024;
/// Frames in one turn.
const TURN_FRAMES: usize = 256;

const HEAD: usize = 9;
const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Follows the frames of one direction, and counts.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes left of the frame that is passing by, or of the preface.
    skip: usize,
    /// A head that came in pieces.
    head: [u8; HEAD],
    had: usize,
    control: u64,
    explained: u64,
    /// Bytes written when the period began.
    written: u64,
    since: Instant,
    turn_bytes: usize,
    turn_frames: usize,
    /// What heads took of this turn's bytes.
    turn_heads: usize,
    /// The turn before was used up by heads: this one reads nothing, the next one little.
    heavy_heads: bool,
    resting: bool,
    spent: bool,
}

impl Budget {
    /// Of a client, whose preface comes before its frames.
    pub(super) fn of_client() -> Self {
        Self { skip: PREFACE, ..Self::of_server() }
    }

    /// Of a server.
    pub(super) fn of_server() -> Self {
        Self {
            skip: 0,
            head: [0; HEAD],
            had: 0,
            control: 0,
            explained: 0,
            written: 0,
            since: Instant::now(),
            turn_bytes: TURN_BYTES,
            turn_frames: TURN_FRAMES,
            turn_heads: 0,
            heavy_heads: false,
            resting: false,
            spent: false,
        }
    }

    /// Whether the peer asked for too much; once so, always so.
    pub(super) const fn is_spent(&self) -> bool {
        self.spent
    }

    /// A new turn of the connection's task.
    pub(super) const fn begin_turn(&mut self) {
        if self.resting {
            self.resting = false;
        } else {
            self.heavy_heads = self.turn_bytes == 0 && self.turn_heads >= TURN_BYTES / 2;
            self.resting = self.heavy_heads;
        }
        self.turn_bytes = if self.resting { 0 } else { TURN_BYTES };
        self.turn_frames = TURN_FRAMES;
        self.turn_heads = 0;
    }

    /// How much may be read at once.
    pub(super) const fn largest_read(&self) -> usize {
        if self.heavy_heads { SMALL_READ } else { usize::MAX }
    }

    /// Whether others are due.
    pub(super) const fn is_turn_over(&self) -> bool {
        self.turn_bytes == 0 || self.turn_frames == 0
    }

    /// Takes note of what was read; `written` is the sum of our own bytes so far.
    pub(super) fn note(&mut self, mut bytes: &[u8], written: u64) {
        self.turn_bytes = self.turn_bytes.saturating_sub(bytes.len());
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip = self.skip.saturating_sub(skipped);
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = HEAD.saturating_sub(self.had).min(bytes.len());
            let Some((piece, rest)) = bytes.split_at_checked(wanted) else { return };
            for (slot, byte) in self.head.iter_mut().skip(self.had).zip(piece) {
                *slot = *byte;
            }
            self.had = self.had.saturating_add(wanted);
            bytes = rest;
            if self.had == HEAD {
                self.had = 0;
                self.count(written);
            }
        }
    }

    fn count(&mut self, written: u64) {
        let [high, middle, low, kind, ..] = self.head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.skip = usize::try_from(length).unwrap_or(usize::MAX);
        self.turn_frames = self.turn_frames.saturating_sub(1);
        if matches!(kind, HEADERS | CONTINUATION) {
            let cost = self.skip.saturating_mul(HEAD_BYTE);
            self.turn_heads = self.turn_heads.saturating_add(cost);
            self.turn_bytes = self.turn_bytes.saturating_sub(cost);
        }
        match kind {
            // `h2` has budgets of its own for empty and tiny DATA, and for CONTINUATION.
            DATA if length == 0 => {}
            CONTINUATION => {}
            DATA | HEADERS => self.explained = self.explained.saturating_add(FOR_EACH_MESSAGE_FRAME),
            _ => {
                self.control = self.control.saturating_add(1);
                if self.is_over(written) {
                    self.spent = true;
                }
            }
        }
    }

    /// Looks at the clock only when the period's frames are used up.
    fn is_over(&mut self, written: u64) -> bool {
        let ours = written.saturating_sub(self.written) / FOR_OUR_BYTES;
        if self.control <= CONTROL_FRAMES.saturating_add(self.explained).saturating_add(ours) {
            return false;
        }
        let now = Instant::now();
        let over = now.saturating_duration_since(self.since) < CONTROL_PERIOD;
        (self.control, self.explained, self.written, self.since) = (0, 0, written, now);
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(kind: u8, length: u8, count: usize) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 0];
        frame.resize(HEAD + usize::from(length), 0);
        frame.repeat(count)
    }

    #[tokio::test(start_paused = true)]
    async fn control_frames_in_one_second_are_limited() {
        let mut budget = Budget::of_server();
        budget.note(&frames(6, 8, 1000), 0);
        assert!(!budget.is_spent());
        budget.note(&frames(6, 8, 1), 0);
        assert!(budget.is_spent());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_control_frames_are_welcome() {
        let mut budget = Budget::of_server();
        for _ in 0..10 {
            budget.note(&frames(8, 4, 900), 0);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(!budget.is_spent());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_and_our_answers_explain_control_frames() {
        let mut budget = Budget::of_server();
        budget.note(&frames(HEADERS, 20, 100), 0);
        budget.note(&frames(8, 4, 1800), 0);
        assert!(!budget.is_spent());
        budget.note(&frames(8, 4, 1000), 64_000);
        assert!(!budget.is_spent());
        budget.note(&frames(8, 4, 1), 64_000);
        assert!(budget.is_spent());
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_are_read_as_the_whole() {
        let mut budget = Budget::of_client();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let bytes = [preface, frames(4, 6, 1), frames(DATA, 200, 3), frames(6, 8, 1002)].concat();
        for piece in bytes.chunks(7) {
            budget.note(piece, 0);
        }
        // 1,003 control frames, 24 of which the DATA explains.
        assert!(!budget.is_spent());
        assert_eq!(budget.control, 1003);
        budget.note(&frames(2, 5, 22), 0);
        assert!(budget.is_spent());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_by_bytes_or_by_frames() {
        let mut budget = Budget::of_server();
        budget.note(&frames(DATA, 255, 200), 0);
        assert!(!budget.is_turn_over());
        budget.note(&frames(DATA, 0, 56), 0);
        assert!(budget.is_turn_over());
        budget.begin_turn();
        assert!(!budget.is_turn_over());
        budget.note(&vec![0; TURN_BYTES], 0);
        assert!(budget.is_turn_over());
    }

    #[tokio::test(start_paused = true)]
    async fn long_heads_end_a_turn_sooner_than_data() {
        let mut budget = Budget::of_server();
        budget.note(&frames(HEADERS, 255, 3), 0);
        assert!(!budget.is_turn_over());
        assert_eq!(budget.largest_read(), usize::MAX);
        budget.note(&frames(HEADERS, 255, 1), 0);
        assert!(budget.is_turn_over());
        budget.begin_turn();
        assert!(budget.is_turn_over(), "one turn is left to others");
        budget.begin_turn();
        assert!(!budget.is_turn_over());
        assert_eq!(budget.largest_read(), SMALL_READ);
        budget.begin_turn();
        assert_eq!(budget.largest_read(), usize::MAX, "that was a turn without heads");
    }
}
