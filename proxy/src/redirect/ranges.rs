use crate::config::address::Cidr;
use crate::redirect::rules::Family;
use crate::settings::redirect::Ports;

/// The same ports in order, none twice: nft refuses sets whose parts overlap.
pub(super) fn merged(ports: impl IntoIterator<Item = Ports>) -> Vec<Ports> {
    let mut sorted: Vec<Ports> = ports.into_iter().collect();
    sorted.sort_by_key(|ports| (*ports.0.start(), *ports.0.end()));
    let mut merged: Vec<Ports> = Vec::new();
    for next in sorted {
        match merged.last_mut().filter(|last| *next.0.start() <= last.0.end().saturating_add(1)) {
            Some(last) => last.0 = *last.0.start()..=*last.0.end().max(next.0.end()),
            None => merged.push(next),
        }
    }
    merged
}

/// The networks of a family, without those that lie in others.
pub(super) fn of_family(networks: &[Cidr], family: Family) -> Vec<Cidr> {
    let mut networks: Vec<Cidr> = networks.iter().copied().filter(|cidr| cidr.network().is_ipv4() == (family == Family::V4)).collect();
    networks.sort_by_key(|cidr| (cidr.length(), cidr.network()));
    let mut widest: Vec<Cidr> = Vec::new();
    for next in networks {
        if !widest.iter().any(|wide| holds(wide, &next)) {
            widest.push(next);
        }
    }
    widest
}

fn holds(wide: &Cidr, narrow: &Cidr) -> bool {
    wide.length() <= narrow.length() && wide.contains(narrow.network())
}
