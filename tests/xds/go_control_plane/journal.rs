use std::collections::BTreeMap;

use serde::Deserialize;

/// One line of the Go program.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Event {
    pub(super) event: String,
    pub(super) set: BTreeMap<String, Versions>,
    pub(super) stream: i64,
    pub(super) delta: bool,
    pub(super) r#type: String,
    pub(super) version: String,
    pub(super) nonce: String,
    pub(super) error: String,
    pub(super) names: Vec<String>,
    pub(super) dropped: Vec<String>,
    pub(super) initial: BTreeMap<String, String>,
    pub(super) resources: BTreeMap<String, String>,
    pub(super) removed: Vec<String>,
}

/// The versions of a type as the server has them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(super) struct Versions {
    /// For the state of the world.
    pub(super) version: String,
    /// By resource, for the incremental protocol.
    pub(super) resources: Option<BTreeMap<String, String>>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: String,
    /// The version that was refused; in a request of the state of the world the one before stands.
    pub(super) version: String,
    pub(super) error: String,
}

impl Refusal {
    fn names(&self, resource: &str) -> bool {
        self.error.lines().any(|line| line.strip_prefix(resource).is_some_and(|rest| rest.starts_with(": ")))
    }
}

/// What the callbacks of one run of the server told.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) events: Vec<Event>,
    pub(super) refusals: Vec<Refusal>,
    set: BTreeMap<String, Versions>,
    sets: usize,
    /// The stream that was opened last, by type.
    types: BTreeMap<String, OfType>,
    stream: Option<(i64, bool)>,
}

/// What a client has said of a type on its stream.
#[derive(Debug, Default)]
struct OfType {
    /// The version that was accepted last.
    accepted: String,
    /// What it holds: names and versions.
    held: BTreeMap<String, String>,
    /// Sent and not answered yet, by nonce.
    open: BTreeMap<String, Event>,
}

impl Journal {
    pub(super) fn note(&mut self, event: Event) {
        match event.event.as_str() {
            "set" => {
                self.set.clone_from(&event.set);
                self.sets += 1;
            }
            "opened" => {
                self.stream = Some((event.stream, event.delta));
                self.types.clear();
            }
            "closed" if self.stream == Some((event.stream, event.delta)) => {
                self.stream = None;
                self.types.clear();
            }
            "response" if self.is_current(&event) => {
                self.types.entry(event.r#type.clone()).or_default().open.insert(event.nonce.clone(), event.clone());
            }
            "request" if self.is_current(&event) => self.asked(&event),
            _ => {}
        }
        self.events.push(event);
    }

    fn is_current(&self, event: &Event) -> bool {
        self.stream == Some((event.stream, event.delta))
    }

    fn asked(&mut self, event: &Event) {
        let of_type = self.types.entry(event.r#type.clone()).or_default();
        of_type.held.extend(event.initial.clone());
        event.dropped.iter().for_each(|name| drop(of_type.held.remove(name)));
        let Some(answered) = of_type.open.remove(&event.nonce) else { return };
        if !event.error.is_empty() {
            let refusal = Refusal { kind: event.r#type.clone(), version: answered.version, error: event.error.clone() };
            let good = answered.resources.into_iter().filter(|(name, _)| !refusal.names(name));
            of_type.held.extend(good);
            self.refusals.push(refusal);
        } else {
            of_type.accepted = answered.version;
            of_type.held.extend(answered.resources);
        }
        answered.removed.iter().for_each(|name| drop(of_type.held.remove(name)));
    }

    /// How many snapshots were set.
    pub(super) fn sets(&self) -> usize {
        self.sets
    }

    /// Whether a client has accepted all of the last snapshot, and nothing is open.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled().is_empty()
    }

    /// What has not been accepted yet.
    pub(super) fn unsettled(&self) -> Vec<String> {
        let Some((_, delta)) = self.stream else { return vec!["there is no stream".to_owned()] };
        let mut open = Vec::new();
        for (kind, set) in &self.set {
            let nothing = OfType::default();
            let of_type = self.types.get(kind).unwrap_or(&nothing);
            let wanted = set.resources.clone().unwrap_or_default();
            let same = if delta { of_type.held == wanted } else { of_type.accepted == set.version };
            if !same || !of_type.open.is_empty() {
                open.push(format!("{kind}: {set:?} is set, {of_type:?} is known of the client"));
            }
        }
        open
    }

    /// Names of all resources that were sent, by type, and of all that were taken back.
    pub(super) fn sent(&self) -> Vec<(&str, &str)> {
        let responses = self.events.iter().filter(|event| event.event == "response");
        responses
            .flat_map(|event| event.resources.keys().chain(&event.removed).map(|name| (event.r#type.as_str(), name.as_str())))
            .collect()
    }
}
