//! Places that there are so many of. One may take any number while more than half of them are free, and then a share only: so whoever
//! takes all that he can get leaves room for others.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug)]
pub struct Places<K: Hash + Eq> {
    most: usize,
    share: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    of: HashMap<K, usize>,
}

/// One that is taken, until this is dropped.
#[derive(Debug)]
pub struct Place<K: Hash + Eq> {
    who: K,
    of: Arc<Places<K>>,
}

impl<K: Hash + Eq + Clone> Places<K> {
    /// None is taken. When half of `most` are, each may have `share`.
    pub fn new(most: usize, share: usize) -> Arc<Self> {
        Arc::new(Self { most, share, taken: Mutex::new(Taken { all: 0, of: HashMap::new() }) })
    }

    /// A place, if there is one for him.
    pub fn take(self: &Arc<Self>, who: K) -> Option<Place<K>> {
        let mut taken = self.lock();
        let own = taken.of.get(&who).copied().unwrap_or_default();
        if taken.all >= self.most || (taken.all >= self.most / 2 && own >= self.share) {
            return None;
        }
        taken.all += 1;
        taken.of.insert(who.clone(), own + 1);
        drop(taken);
        Some(Place { who, of: Arc::clone(self) })
    }
}

impl<K: Hash + Eq> Places<K> {
    fn lock(&self) -> MutexGuard<'_, Taken<K>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.of.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.of.get_mut(&self.who) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.of.remove(&self.who);
            }
        }
    }
}

/// For whom an address counts: of IPv6, everybody has a whole network of 64 bits.
pub fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_all_he_can_leaves_half_for_others() {
        let places = Places::new(8, 1);
        let greedy: Vec<_> = std::iter::from_fn(|| places.take("greedy")).collect();
        assert_eq!(greedy.len(), 4);
        let others: Vec<_> = ["a", "b", "c", "d"].into_iter().filter_map(|who| places.take(who)).collect();
        assert_eq!(others.len(), 4);
        assert!(places.take("e").is_none(), "there is none left");
        assert!(places.take("a").is_none());
        drop(others);
        drop(greedy);
        let taken = places.lock();
        assert_eq!((taken.all, taken.of.len()), (0, 0));
    }

    #[test]
    fn a_network_of_ipv6_is_one_host() {
        let host = |text: &str| host(text.parse().unwrap()).to_string();
        assert_eq!(
            (host("2001:db8:1:2:3:4:5:6"), host("::ffff:10.0.0.7"), host("10.0.0.7")),
            ("2001:db8:1:2::".to_owned(), "10.0.0.7".to_owned(), "10.0.0.7".to_owned())
        );
    }
}
