use serde_json::json;

use super::*;

const TIMES: Times = Times { grace: Duration::from_secs(10), drain: Duration::from_secs(5), orphan: Duration::from_secs(45) };

/// A book, what is kept, and the time.
struct World {
    book: Book,
    kept: Kept,
    version: u64,
    now: Instant,
    live: Vec<&'static str>,
}

fn name() -> Name {
    Name::new("shop", "cart-1")
}

/// What somebody says who may have one label, or any.
fn claim(object: Value, app: &str) -> Claim {
    let limits = Limits::new([("app".to_owned(), app.to_owned())].into_iter().filter(|_| !app.is_empty()).collect()).unwrap();
    Claim { name: name(), account: account(&object).to_owned(), object, limits: vec![limits] }
}

fn world() -> World {
    World { book: Book::new("me".to_owned(), TIMES), kept: Kept::new(), version: 0, now: Instant::now(), live: vec!["me", "other"] }
}

impl World {
    fn enter(&mut self, port: u16) -> u64 {
        self.book.enter(&claim(json!({"port": port}), ""), Some("token")).unwrap()
    }

    /// Does what is due, until nothing is; the record's state afterwards.
    fn look(&mut self) -> Option<State> {
        let live = self.live.clone();
        for _ in 0..10 {
            let (puts, _) = self.book.due(&self.kept, &|id| live.contains(&id), self.now);
            if puts.is_empty() {
                return self.record().map(|record| record.state);
            }
            self.write(puts);
        }
        panic!("it is written again and again");
    }

    fn write(&mut self, puts: Vec<Put>) {
        for put in puts {
            let is = self.kept.get(&name()).map_or(0, |(_, version)| *version);
            assert_eq!((put.shelf, put.key.as_str(), put.expected), (Shelf::Registrations, "shop/cart-1", Some(is)));
            self.version += 1;
            match put.text {
                Some(text) => drop(self.kept.insert(name(), (Arc::new(Record::read(&text).unwrap()), self.version))),
                None => drop(self.kept.remove(&name())),
            }
        }
    }

    fn record(&self) -> Option<Record> {
        self.kept.get(&name()).map(|(record, _)| Record::clone(record))
    }

    fn after(&mut self, seconds: u64) -> Option<State> {
        self.now += Duration::from_secs(seconds);
        self.look()
    }

    /// Something that serves, and its stream.
    fn serving(&mut self) -> u64 {
        let stream = self.enter(80);
        assert_eq!(self.look(), Some(State::Joining));
        self.book.serves(&name(), stream);
        assert_eq!(self.look(), Some(State::Serving));
        stream
    }

    /// Another control plane has it now.
    fn moved_to(&mut self, replica: &str) {
        self.version += 1;
        let record = Record { replica: replica.to_owned(), state: State::Serving, ..self.record().unwrap() };
        self.kept.insert(name(), (Arc::new(record), self.version));
    }
}

#[test]
fn a_stream_that_is_gone_is_waited_for_then_drained_then_forgotten() {
    let mut world = world();
    let stream = world.serving();
    assert_eq!(world.after(3600), Some(State::Serving), "as long as the stream lives");
    world.book.leave(&name(), stream);
    let (puts, next) = world.book.due(&world.kept, &|_| true, world.now);
    assert_eq!((puts, next), (vec![], Some(world.now + TIMES.grace)));
    assert_eq!(world.after(9), Some(State::Serving));
    assert_eq!(world.after(1), Some(State::Draining));
    assert_eq!(world.look(), Some(State::Draining));
    assert_eq!(world.after(4), Some(State::Draining));
    assert_eq!(world.after(1), None);
    assert!(world.book.waits.is_empty() && world.book.held.is_empty());
}

#[test]
fn a_stream_that_comes_back_in_time_changes_nothing() {
    let mut world = world();
    let stream = world.serving();
    let before = world.kept.clone();
    world.book.leave(&name(), stream);
    world.look();
    world.after(9);
    let stream = world.enter(80);
    world.after(100);
    world.book.serves(&name(), stream);
    world.after(100);
    assert_eq!(world.kept, before);
    world.book.leave(&name(), stream);
    world.look();
    assert_eq!(world.after(9), Some(State::Serving), "the time begins anew");
}

#[test]
fn one_that_drains_and_comes_back_serves_when_it_has_its_listeners() {
    let mut world = world();
    let stream = world.serving();
    world.book.goodbye(&name(), stream);
    assert_eq!(world.look(), Some(State::Draining), "at once");
    let again = world.enter(80);
    world.book.leave(&name(), stream);
    assert_eq!(world.after(100), Some(State::Draining));
    world.book.serves(&name(), stream);
    assert_eq!(world.look(), Some(State::Draining), "that stream is over");
    world.book.serves(&name(), again);
    assert_eq!(world.look(), Some(State::Serving));
}

#[test]
fn the_last_of_two_streams_counts_and_the_newest_says_what_it_is() {
    let mut world = world();
    let first = world.serving();
    let second = world.enter(80);
    world.book.goodbye(&name(), first);
    assert_eq!(world.after(100), Some(State::Serving), "the second lives");
    world.enter(90);
    assert_eq!(world.look(), Some(State::Joining), "it is somewhere else now");
    assert_eq!(world.record().unwrap().object, json!({"port": 90}));
    world.book.goodbye(&name(), second);
    assert_eq!(world.after(100), Some(State::Joining));
}

#[test]
fn one_that_never_served_is_not_drained() {
    let mut world = world();
    let stream = world.enter(80);
    assert_eq!(world.look(), Some(State::Joining));
    world.book.leave(&name(), stream);
    world.look();
    assert_eq!(world.after(9), Some(State::Joining));
    assert_eq!(world.after(1), None);
}

#[test]
fn what_a_restart_leaves_is_waited_for_longer() {
    let mut world = world();
    world.serving();
    world.book = Book::new("next".to_owned(), TIMES);
    world.live = vec!["next"];
    assert_eq!(world.look(), Some(State::Serving));
    assert_eq!(world.after(44), Some(State::Serving));
    assert_eq!(world.after(1), Some(State::Draining));
    assert_eq!(world.record().unwrap().replica, "next");
    assert_eq!(world.after(5), None);
}

#[test]
fn what_is_at_another_control_plane_is_its_concern_while_it_lives() {
    let mut world = world();
    let stream = world.serving();
    world.book.leave(&name(), stream);
    world.look();
    world.moved_to("other");
    assert_eq!(world.after(3600), Some(State::Serving));
    // Not since the stream was here, but since the other one is gone.
    world.live = vec!["me"];
    assert_eq!(world.look(), Some(State::Serving));
    assert_eq!(world.after(44), Some(State::Serving));
    world.live = vec!["me", "other"];
    world.look();
    world.live = vec!["me"];
    world.look();
    assert_eq!(world.after(44), Some(State::Serving), "it was there again");
    assert_eq!(world.after(1), Some(State::Draining));
}

#[test]
fn a_stream_that_is_not_known_to_be_gone_takes_nothing_back() {
    let mut world = world();
    world.serving();
    world.moved_to("other");
    world.after(100);
    assert_eq!(world.record().unwrap().replica, "other");
    // It is gone there, and lives here.
    world.live = vec!["me"];
    world.look();
    assert_eq!(world.record().unwrap().replica, "me");
    world.live = vec!["me", "other"];
    world.look();
    world.moved_to("other");
    world.after(100);
    assert_eq!(world.record().unwrap().replica, "other");
    // A new stream does.
    world.enter(80);
    world.look();
    assert_eq!(world.record().unwrap().replica, "me");
}

#[test]
fn a_goodbye_of_long_ago_is_forgotten_when_it_came_back_elsewhere() {
    let mut world = world();
    let stream = world.serving();
    world.book.goodbye(&name(), stream);
    assert_eq!(world.look(), Some(State::Draining));
    world.moved_to("other");
    assert_eq!(world.after(3600), Some(State::Serving));
    world.live = vec!["me"];
    assert_eq!(world.look(), Some(State::Serving), "the other one is gone, and what it had is waited for");
    assert_eq!(world.after(44), Some(State::Serving));
    assert_eq!(world.after(1), Some(State::Draining));
}

#[test]
fn nobody_takes_what_is_being_registered_for_another_account() {
    let mut world = world();
    let of = |account: &str| json!({"spec": {"serviceAccount": account}});
    assert!(world.book.enter(&claim(of("cart"), ""), Some("one")).is_some());
    assert_eq!(world.book.enter(&claim(of("bank"), ""), Some("two")), None);
    // Another control plane was first.
    let record = Record { object: of("bank"), token: Some("two".to_owned()), replica: "other".to_owned(), state: State::Serving };
    world.kept.insert(name(), (Arc::new(record.clone()), 7));
    world.live = vec!["me"];
    world.look();
    assert_eq!(world.record(), Some(record));
}

#[test]
fn what_is_registered_elsewhere_with_other_labels_is_not_overwritten() {
    let mut world = world();
    let of = |app: &str| json!({"metadata": {"labels": {"app": app}}});
    // Both have come at the same time, each at its own control plane; the other one was written first.
    world.book.enter(&claim(of("cart"), "cart"), None).unwrap();
    let record = Record { object: of("bank"), token: None, replica: "other".to_owned(), state: State::Serving };
    world.kept.insert(name(), (Arc::new(record), 1));
    assert_eq!(world.book.due(&world.kept, &|_| true, world.now).0, vec![]);
    // Nor is a stream that is here.
    let mut book = Book::new("me".to_owned(), TIMES);
    book.enter(&claim(of("bank"), "bank"), None).unwrap();
    assert_eq!(book.enter(&claim(of("cart"), "cart"), None), None);
    assert!(book.enter(&claim(of("bank"), "bank"), None).is_some());
}
