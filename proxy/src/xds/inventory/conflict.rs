//! Two scopes of one key: it would be chance which one a request has. Within an answer keys may change hands, so it is looked at
//! when all of it is known.

use std::collections::HashMap;

use crate::config::scope::Scope;
use crate::xds::invalid::Faults;
use crate::xds::inventory::table::Table;

/// Takes back what has come with a key of another, until no two have the same; why. Of two that have come with one key, the later
/// one goes.
pub(super) fn settle(scopes: &mut Table<Scope>) -> Vec<(String, Faults)> {
    let mut refused = Vec::new();
    // What goes leaves the one before it, which may be in the way of yet another.
    while let Some((name, other)) = conflict(scopes) {
        let faults = Faults::one(format_args!("key: scope {other:?} has the same key as {name:?}"));
        scopes.revert(&name, &faults);
        refused.push((name, faults));
    }
    scopes.keep();
    refused
}

/// What is to go, and what it is in conflict with.
fn conflict(scopes: &Table<Scope>) -> Option<(String, String)> {
    let mut known: HashMap<&[String], &str> = HashMap::new();
    for (name, scope) in scopes.values() {
        let Some(other) = known.insert(&scope.key, name) else { continue };
        // The older one has not changed, or has come before in this answer.
        let (older, newer) = if scopes.age(other) < scopes.age(name) { (other, name) } else { (name, other) };
        return Some((newer.to_owned(), older.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::xds::inventory::Inventory;
    use crate::xds::inventory::tests::{offer_all, scope, with_server};

    /// Takes answers, each of scopes and their keys; what is refused of the last, and the scopes that are known then.
    fn after(answers: &[&[(&str, &str)]]) -> (Vec<String>, Vec<String>) {
        let mut inventory = Inventory::new(with_server());
        let mut refused = Vec::new();
        for (version, answer) in answers.iter().enumerate() {
            let resources: Vec<_> = answer.iter().map(|(name, key)| scope(name, key, "r")).collect();
            refused = offer_all(&mut inventory, &version.to_string(), &resources);
        }
        let known = inventory.scopes.values().map(|(name, scope)| format!("{name}={}", scope.key.join("+"))).collect();
        (refused, known)
    }

    /// Whether a last answer leads to these refusals and these scopes.
    #[track_caller]
    fn leads_to(answers: &[&[(&str, &str)]], refused: &[&str], known: &[&str]) {
        let (of_last, scopes) = after(answers);
        assert_eq!((of_last, scopes), (refused.iter().map(ToString::to_string).collect(), known.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn the_later_of_two_of_a_key_is_refused() {
        let reason = "b: key: scope \"a\" has the same key as \"b\"";
        leads_to(&[&[("a", "1"), ("b", "1"), ("c", "2")]], &[reason], &["a=1", "c=2"]);
        leads_to(&[&[("b", "1")], &[("a", "1")]], &["a: key: scope \"b\" has the same key as \"a\""], &["b=1"]);
        leads_to(&[&[("a", "1"), ("b", "2")], &[("b", "1")]], &[reason], &["a=1", "b=2"]);
    }

    #[test]
    fn keys_change_hands_within_an_answer() {
        let before: &[_] = &[("a", "1"), ("b", "2"), ("c", "3")];
        leads_to(&[before, &[("a", "2"), ("b", "1")]], &[], &["a=2", "b=1", "c=3"]);
        leads_to(&[before, &[("a", "2"), ("b", "3"), ("c", "4")]], &[], &["a=2", "b=3", "c=4"]);
        leads_to(&[before, &[("a", "2"), ("b", "3"), ("c", "1")]], &[], &["a=2", "b=3", "c=1"]);
    }

    #[test]
    fn what_goes_back_to_its_key_sends_others_back() {
        let (refused, known) = after(&[&[("a", "1"), ("b", "2"), ("c", "3")], &[("a", "2"), ("b", "3")]]);
        assert_eq!((refused.len(), known), (2, vec!["a=1".to_owned(), "b=2".to_owned(), "c=3".to_owned()]), "{refused:?}");
    }
}
