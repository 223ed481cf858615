//! Lists of revoked certificates (RFC 5280, 5), as proxies are sent them: one of each root that is trusted, as long as anything is revoked.
//! Where nothing is, none is sent: a proxy that has a list refuses whatever no list tells of.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::authority::Authority;
use crate::authority::issued::Issued;
use crate::authority::revocation::{Reason, Revocation, Whose};
use crate::authority::text::pem;
use crate::authority::trust::Trust;
use crate::hex;

/// A list is good for so long at least. Proxies refuse everybody when it is over, so the certificates themselves are to be over before,
/// should there be nobody to sign another one.
const LIFE: Duration = Duration::from_secs(7 * 86_400);

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The certificate's number.
    pub serial: Vec<u8>,
    /// Since when it is revoked.
    pub since: SystemTime,
    /// Why.
    pub reason: Reason,
}

/// What proxies are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// The lists in PEM, one after the other; none, if nothing is revoked.
    pub pem: Option<String>,
    /// Whether they tell of peers' own certificates only, and not of authorities between them and a root.
    pub only_leaves: bool,
    /// They are to be signed anew then.
    pub again: Option<SystemTime>,
}

impl Authority {
    /// The numbers of certificates that are revoked and may still hold.
    pub(super) fn revoked_serials(all: &[Revocation], issued: &[Issued], now: SystemTime) -> BTreeMap<String, (SystemTime, Reason)> {
        let mut found = BTreeMap::new();
        for Revocation { whose, reason, since, until } in all.iter().filter(|revocation| revocation.until > now) {
            match whose {
                Whose::Certificate(serial, _) => drop(found.insert(serial.clone(), (*since, *reason))),
                Whose::Account(identity) => {
                    let theirs =
                        issued.iter().filter(|issued| *issued.namespace == *identity.namespace && *issued.account == *identity.account);
                    let older = theirs.filter(|issued| issued.from < *since && issued.until > now && *until > now);
                    for issued in older {
                        found.entry(issued.serial.clone()).or_insert((*since, *reason));
                    }
                }
            }
        }
        found
    }

    /// Signs the lists of a moment.
    pub fn lists(&self, trust: &Trust, now: SystemTime) -> Lists {
        let all = self.revocations(now);
        // Most of the time there are none.
        let revoked = if all.is_empty() { BTreeMap::new() } else { Self::revoked_serials(&all, &self.issued(), now) };
        self.counters.revoked(revoked.len());
        if revoked.is_empty() {
            self.set_list_fault(None);
            return Lists::default();
        }
        let entries =
            revoked.into_iter().filter_map(|(serial, (since, reason))| Some(Entry { serial: hex::decode(&serial)?, since, reason }));
        let entries: Vec<Entry> = entries.collect();
        let life = LIFE.max(self.longest() * 2);
        let signed: Result<Vec<Vec<u8>>, String> = trust.listing.iter().map(|issuer| issuer.list(&entries, now, now + life)).collect();
        let signed = signed.and_then(|lists| if lists.is_empty() { Err("who signs keeps no list here".to_owned()) } else { Ok(lists) });
        self.set_list_fault(signed.as_ref().err().cloned());
        let pem = signed.ok().map(|lists| lists.iter().map(|list| pem("X509 CRL", list)).collect());
        Lists { pem, only_leaves: trust.only_leaves, again: Some(now + life / 2) }
    }
}
