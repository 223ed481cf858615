use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Questions that may wait for resolvers at once: each has a socket.
const MOST: usize = 512;
/// Of them, the same question. One that goes in a circle, by way of another resolver that sends it here, ends when there are so many.
const MOST_OF_ONE: usize = 64;

/// Questions that wait for resolvers.
#[derive(Debug, Default)]
pub(super) struct Asked(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    count: usize,
    /// By question.
    waiting: HashMap<Vec<u8>, Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    count: usize,
    /// The numbers under which it was sent to resolvers.
    ids: Vec<u16>,
}

/// Why a question does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many do.
    Full,
    /// It is this proxy's own.
    CameBack,
}

/// A question that waits until this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    all: Rc<Asked>,
    question: Vec<u8>,
    sent: RefCell<Vec<u16>>,
}

impl Asked {
    /// A question with this number wants to wait.
    pub(super) fn enter(self: &Rc<Self>, question: Vec<u8>, id: u16) -> Result<Ticket, Refused> {
        let mut state = self.0.borrow_mut();
        let same = state.waiting.get(&question);
        if same.is_some_and(|same| same.ids.contains(&id)) {
            return Err(Refused::CameBack);
        }
        if state.count >= MOST || same.is_some_and(|same| same.count >= MOST_OF_ONE) {
            return Err(Refused::Full);
        }
        state.count = state.count.saturating_add(1);
        let same = state.waiting.entry(question.clone()).or_default();
        same.count = same.count.saturating_add(1);
        Ok(Ticket { all: Rc::clone(self), question, sent: RefCell::default() })
    }
}

impl Ticket {
    /// It is sent under this number.
    pub(super) fn sent(&self, id: u16) {
        if let Some(waiting) = self.all.0.borrow_mut().waiting.get_mut(&self.question) {
            waiting.ids.push(id);
            self.sent.borrow_mut().push(id);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.all.0.borrow_mut();
        state.count = state.count.saturating_sub(1);
        let Some(waiting) = state.waiting.get_mut(&self.question) else { return };
        waiting.count = waiting.count.saturating_sub(1);
        for id in self.sent.borrow().iter() {
            if let Some(position) = waiting.ids.iter().position(|known| known == id) {
                waiting.ids.swap_remove(position);
            }
        }
        if waiting.count == 0 {
            state.waiting.remove(&self.question);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_comes_back_is_known_while_it_waits() {
        let asked = Rc::new(Asked::default());
        let ticket = asked.enter(b"a".to_vec(), 1).unwrap();
        ticket.sent(7);
        ticket.sent(8);
        for own in [7, 8] {
            assert_eq!(asked.enter(b"a".to_vec(), own).unwrap_err(), Refused::CameBack);
        }
        assert!(asked.enter(b"b".to_vec(), 7).is_ok(), "another question");
        let other = asked.enter(b"a".to_vec(), 9).unwrap();
        drop(ticket);
        assert!(asked.enter(b"a".to_vec(), 7).is_ok());
        drop(other);
        assert!(asked.0.borrow().waiting.is_empty() && asked.0.borrow().count == 0);
    }

    #[test]
    fn few_of_one_and_not_too_many_of_all_wait() {
        let asked = Rc::new(Asked::default());
        let enter = |question: u16| asked.enter(question.to_be_bytes().to_vec(), 0);
        let same: Vec<_> = (0..MOST_OF_ONE).map(|_| enter(0).unwrap()).collect();
        assert_eq!(enter(0).unwrap_err(), Refused::Full);
        let others: Vec<_> = (1..1000).map_while(|question| enter(question).ok()).collect();
        assert_eq!(same.len() + others.len(), MOST);
        assert_eq!(enter(5000).unwrap_err(), Refused::Full);
        drop(same);
        assert!(enter(5000).is_ok());
    }
}
