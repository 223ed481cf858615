//! Certificates that were given and still hold, by whose they are: what is revoked when all of an account's are.
//!
//! Nobody has a certificate that is not noted in the store before. So a control plane that is cut off from the store gives none, which
//! it could not know how long to trust, nor whether it is revoked by now.

use std::time::{Duration, SystemTime};

use crate::authority::Authority;
use crate::authority::certify::Refused;
use crate::authority::issuer;
use crate::model::identity::Identity;
use crate::store::records::{Kept, Put, Shelf};

/// Certificates of one account that hold at a time: as many as can be revoked together.
const MOST_OF_ONE: usize = crate::authority::revocation::MOST;
/// Certificates that hold at a time.
const MOST: usize = 300_000;
/// How often it is looked for those that hold no more.
const LOOK: Duration = Duration::from_secs(10);
/// Those that are taken away at a time.
const TOGETHER: usize = 1_000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) namespace: String,
    pub(super) account: String,
    /// Its number.
    pub(super) serial: String,
    /// It holds from then,
    pub(super) from: SystemTime,
    /// until then.
    pub(super) until: SystemTime,
}

impl Issued {
    pub(super) fn identity(&self, trust_domain: &str) -> Result<Identity, String> {
        Identity::new(trust_domain, &self.namespace, &self.account).map_err(|error| error.to_string())
    }

    fn read(key: &str, kept: &Kept) -> Option<Self> {
        let mut parts = key.split('/').map(ToOwned::to_owned);
        let (namespace, account, serial) = (parts.next()?, parts.next()?, parts.next()?);
        let (from, until): (u64, u64) = serde_json::from_str(&kept.text).ok()?;
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Some(Self { namespace, account, serial, from: time(from), until: time(until) })
    }
}

fn under(identity: &Identity) -> String {
    format!("{}/{}/", identity.namespace, identity.account)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Authority {
    /// All of them. Some may have expired a moment ago.
    pub(super) fn issued(&self) -> Vec<Issued> {
        self.store.records().list(Shelf::Issued).iter().filter_map(|(key, kept)| Issued::read(key, kept)).collect()
    }

    /// Whether there may be another one of somebody.
    pub(super) fn has_room(&self, identity: &Identity) -> Result<(), Refused> {
        let records = self.store.records();
        if records.count_under(Shelf::Issued, &under(identity)) >= MOST_OF_ONE {
            return Err(Refused::Exhausted(format!("{MOST_OF_ONE} certificates of {identity} hold at this time, and no more may")));
        }
        if records.count(Shelf::Issued) >= MOST {
            return Err(Refused::Exhausted(format!("{MOST} certificates hold at this time, and no more may")));
        }
        Ok(())
    }

    /// Notes one, before anybody has it.
    pub(super) async fn note(&self, identity: &Identity, issued: &issuer::Issued) -> Result<(), Refused> {
        let text = serde_json::to_string(&(seconds(issued.not_before), seconds(issued.not_after))).unwrap_or_default();
        let key = format!("{}{}", under(identity), issued.serial);
        let put = Put { shelf: Shelf::Issued, key, text: Some(text), expected: None };
        let failed = |error| Refused::Unavailable(format!("the certificate cannot be noted, and is not given: {error}"));
        self.store.keep(vec![put]).await.map(drop).map_err(failed)
    }

    /// Forgets what holds no more, again and again.
    pub(super) async fn tidy(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.forget_expired(SystemTime::now()).await {
                tracing::warn!(%error, "certificates that have expired cannot be forgotten; tried again");
            }
        }
    }

    pub(super) async fn forget_expired(&self, now: SystemTime) -> Result<(), crate::store::error::StoreError> {
        let gone = |shelf: Shelf, until: &dyn Fn(&str, &Kept) -> Option<SystemTime>| -> Vec<Put> {
            let all = self.store.records().list(shelf).into_iter();
            let over = all.filter(|(key, kept)| until(key, kept).is_some_and(|until| until < now));
            over.map(|(key, kept)| Put { shelf, key: key.to_string(), text: None, expected: Some(kept.version) }).collect()
        };
        let mut puts = gone(Shelf::Issued, &|key, kept| Issued::read(key, kept).map(|issued| issued.until));
        puts.extend(gone(Shelf::Revocations, &|id, kept| self.revoked_until(id, kept)));
        while !puts.is_empty() {
            let rest = puts.split_off(puts.len().min(TOGETHER));
            self.store.keep(std::mem::replace(&mut puts, rest)).await?;
        }
        Ok(())
    }
}
