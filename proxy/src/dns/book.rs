use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use crate::config::names::{Host, Names};

/// Hosts that the control plane has told of.
#[derive(Debug)]
pub struct Book {
    /// Where services have their short names.
    namespace: RefCell<String>,
    index: RefCell<Index>,
    /// What was told is this state of it.
    change: Cell<u64>,
    told: watch::Sender<bool>,
}

/// A host.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) v4: Vec<Ipv4Addr>,
    pub(super) v6: Vec<Ipv6Addr>,
    /// Nobody outside knows more of it.
    pub(super) is_of_mesh: bool,
}

#[derive(Debug, Default)]
struct Index {
    hosts: HashMap<String, Rc<Entry>>,
    /// By name and namespace, with a dot between.
    services: HashMap<String, Rc<Entry>>,
}

impl Book {
    /// Nothing has been told yet. Services of this namespace go by their names alone, too.
    pub fn new(namespace: &str) -> Self {
        let told = watch::Sender::new(false);
        Self { namespace: RefCell::new(namespace.to_ascii_lowercase()), index: RefCell::default(), change: Cell::new(0), told }
    }

    /// The proxy's namespace is another one.
    pub fn move_to(&self, namespace: &str) {
        *self.namespace.borrow_mut() = namespace.to_ascii_lowercase();
    }

    /// What the control plane tells, by the name of each resource. `change` is a number for this state of it. How many names there
    /// are now, if that is news.
    pub fn tell<'a>(&self, change: u64, names: impl Iterator<Item = (&'a str, &'a Arc<Names>)>) -> Option<usize> {
        let first = !self.told.send_replace(true);
        if self.change.replace(change) == change && !first {
            return None;
        }
        let index = Index::of(names);
        let count = index.hosts.len();
        *self.index.borrow_mut() = index;
        Some(count)
    }

    pub(super) fn is_told(&self) -> bool {
        *self.told.borrow()
    }

    /// Returns when the control plane has told of hosts.
    pub(super) async fn told(&self) {
        let mut told = self.told.subscribe();
        // The sender is here.
        let _gone = told.wait_for(|told| *told).await.is_err();
    }

    /// A host by a name in lower case, without a dot at the end.
    pub(super) fn find(&self, name: &str) -> Option<Rc<Entry>> {
        let index = self.index.borrow();
        // What is outside and has the short name of a service is not asked for, either.
        let of_mesh = index.hosts.get(name).filter(|entry| entry.is_of_mesh);
        let found = of_mesh.or_else(|| {
            let short = name.strip_suffix(".svc").unwrap_or(name);
            match short.contains('.') {
                true => index.services.get(short),
                false if short.len() == name.len() => index.services.get(&format!("{name}.{}", self.namespace.borrow())),
                false => None,
            }
        });
        found.or_else(|| index.hosts.get(name)).or_else(|| index.above(name)).cloned()
    }
}

impl Index {
    fn of<'a>(names: impl Iterator<Item = (&'a str, &'a Arc<Names>)>) -> Self {
        let mut hosts: HashMap<String, Entry> = HashMap::new();
        let mut services: Vec<(String, String)> = Vec::new();
        for (resource, names) in names {
            let own = names.own.as_ref().map(|host| (resource.trim_end_matches('.').to_ascii_lowercase(), host));
            let all = names.hosts.iter().map(|(name, host)| (name.clone(), host)).chain(own);
            for (name, host) in all {
                if let Some(service) = &host.service {
                    services.push((format!("{}.{}", service.name, service.namespace), name.clone()));
                }
                let entry = hosts.entry(name).or_default();
                // What is outside and has the name of a service is not asked for.
                match (entry.is_of_mesh, host.service.is_some()) {
                    (true, false) => {}
                    (false, true) => *entry = Entry::of(host),
                    (true, true) => entry.add(host),
                    // Of two outside the first has the name, as in route tables.
                    (false, false) if entry.v4.is_empty() && entry.v6.is_empty() => entry.add(host),
                    (false, false) => {}
                }
            }
        }
        let hosts: HashMap<String, Rc<Entry>> = hosts.into_iter().map(|(name, entry)| (name, Rc::new(entry))).collect();
        let services = services.into_iter().filter_map(|(short, host)| Some((short, Rc::clone(hosts.get(&host)?)))).collect();
        Self { hosts, services }
    }

    /// The nearest name with `*` that this one is below of.
    fn above(&self, name: &str) -> Option<&Rc<Entry>> {
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(entry) = self.hosts.get(&format!("*.{above}")) {
                return Some(entry);
            }
            rest = above;
        }
        None
    }
}

impl Entry {
    fn of(host: &Host) -> Self {
        let mut entry = Self { is_of_mesh: host.service.is_some(), ..Self::default() };
        entry.add(host);
        entry
    }

    fn add(&mut self, host: &Host) {
        for address in &host.addresses {
            match address.to_canonical() {
                IpAddr::V4(address) if !self.v4.contains(&address) => self.v4.push(address),
                IpAddr::V6(address) if !self.v6.contains(&address) => self.v6.push(address),
                IpAddr::V4(_) | IpAddr::V6(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::names::Service;

    /// A host, its addresses, and its name and namespace.
    type Listed<'a> = (&'a str, &'a [&'a str], Option<(&'a str, &'a str)>);

    fn names(hosts: &[Listed<'_>]) -> Arc<Names> {
        let hosts = hosts.iter().map(|(name, addresses, service)| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            let service = service.map(|(name, namespace)| Service { name: name.to_owned(), namespace: namespace.to_owned() });
            ((*name).to_owned(), Host { addresses, service })
        });
        Arc::new(Names { hosts: hosts.collect(), own: None })
    }

    fn book(resources: &[(&str, Arc<Names>)]) -> Book {
        let book = Book::new("shop");
        assert!(!book.is_told());
        book.tell(1, resources.iter().map(|(name, names)| (*name, names)));
        assert!(book.is_told());
        book
    }

    fn v4(book: &Book, name: &str) -> Option<Vec<String>> {
        Some(book.find(name)?.v4.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_service_goes_by_every_form_of_its_name() {
        let web = ("web.shop.svc.cluster.local", ["10.0.0.1"].as_slice(), Some(("web", "shop")));
        let bank = ("pay.bank.svc.cluster.local", ["10.0.0.2", "fd00::2"].as_slice(), Some(("pay", "bank")));
        let book = book(&[("web.shop", names(&[web])), ("pay.bank", names(&[bank]))]);
        for name in ["web.shop.svc.cluster.local", "web.shop.svc", "web.shop", "web"] {
            assert_eq!(v4(&book, name), Some(vec!["10.0.0.1".to_owned()]), "{name}");
        }
        for name in ["pay.bank.svc.cluster.local", "pay.bank.svc", "pay.bank"] {
            assert_eq!(v4(&book, name), Some(vec!["10.0.0.2".to_owned()]), "{name}");
        }
        for name in ["pay", "web.svc", "web.shop.svc.cluster", "shop", "", "svc", "web.shop.svc.svc", "example.com"] {
            assert_eq!(v4(&book, name), None, "{name}");
        }
        book.move_to("Bank");
        assert_eq!((v4(&book, "web"), v4(&book, "pay").is_some()), (None, true));
    }

    #[test]
    fn one_table_of_all_and_one_for_each_are_the_same() {
        let own = Names { hosts: Vec::new(), own: Some(Host { addresses: vec!["10.0.0.3".parse().unwrap()], service: None }) };
        let book = book(&[("db.example.com", Arc::new(own)), ("", names(&[("a.example.com", &["10.0.0.4"], None)]))]);
        assert_eq!(v4(&book, "db.example.com"), Some(vec!["10.0.0.3".to_owned()]));
        assert_eq!(v4(&book, "a.example.com"), Some(vec!["10.0.0.4".to_owned()]));
    }

    #[test]
    fn a_star_stands_for_all_below() {
        let book = book(&[("x", names(&[("*.example.com", &["10.0.0.5"], None), ("a.b.example.com", &[], None)]))]);
        assert_eq!(v4(&book, "deep.down.example.com"), Some(vec!["10.0.0.5".to_owned()]));
        assert_eq!(v4(&book, "a.b.example.com"), Some(Vec::new()));
        assert_eq!(v4(&book, "example.com"), None);
    }

    #[test]
    fn a_service_is_not_taken_by_what_is_outside() {
        let service = ("web.shop.svc.cluster.local", ["10.0.0.1"].as_slice(), Some(("web", "shop")));
        let outside = ("web.shop.svc.cluster.local", ["6.6.6.6"].as_slice(), None);
        for order in [[service, outside], [outside, service]] {
            let book = book(&[("one", names(&[order[0]])), ("two", names(&[order[1]]))]);
            assert_eq!(v4(&book, "web"), Some(vec!["10.0.0.1".to_owned()]));
        }
        for name in ["web.shop.svc", "web.shop", "web"] {
            let book = book(&[("one", names(&[(name, &["6.6.6.6"], None)])), ("two", names(&[service]))]);
            assert_eq!(v4(&book, name), Some(vec!["10.0.0.1".to_owned()]), "{name}");
        }
        let book = book(&[("one", names(&[("a.b", &["10.0.0.1"], None)])), ("two", names(&[("a.b", &["10.0.0.2", "10.0.0.1"], None)]))]);
        assert_eq!(v4(&book, "a.b"), Some(vec!["10.0.0.1".to_owned()]), "of two outside the first has it");
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_first_word_and_news_are_counted() {
        let book = Book::new("shop");
        let none: [(&str, &Arc<Names>); 0] = [];
        assert_eq!(book.tell(0, none.into_iter()), Some(0), "if only that there are none");
        book.told().await;
        assert_eq!(book.tell(0, none.into_iter()), None);
        let names = names(&[("a.b", &[], None)]);
        assert_eq!(book.tell(1, [("x", &names)].into_iter()), Some(1));
    }
}
