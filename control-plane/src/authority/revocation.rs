//! Certificates that are no longer good although their time has not come: one by its number, or all that an account had until then.
//!
//! A revocation is a record of the store, so all control planes know it. Here it is asked when somebody shows a certificate; proxies
//! are told by [`lists`](crate::authority::lists).

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::authority::Authority;
use crate::model::identity::{Identity, Verified};
use crate::store::error::StoreError;
use crate::store::records::{Kept, Put, Shelf};

/// Revoked certificates that proxies are told of: some hundred KiB, which each of them is sent.
pub const MOST: usize = 30_000;
/// Bytes of a certificate's number (RFC 5280, 4.1.2.2).
const LONGEST_SERIAL: usize = 20;

/// Whose certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// One, by its number in hexadecimal digits, and who it was given to, if that is known.
    Certificate(String, Option<Identity>),
    /// All that an account has.
    Account(Identity),
}

/// Why, in the words of RFC 5280.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing is said.
    #[default]
    Unspecified,
    /// Somebody else has the key.
    KeyCompromise,
    /// Whose it was is somebody else now.
    AffiliationChanged,
    /// There is another one.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
    /// Whose it was may not be that any more.
    PrivilegeWithdrawn,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What.
    pub whose: Whose,
    /// Why.
    pub reason: Reason,
    /// Since when. Of an account, what was given before that is not good, and what is given later is.
    pub since: SystemTime,
    /// Then nothing holds any more that is concerned, and this is forgotten.
    pub until: SystemTime,
}

/// As it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    reason: Reason,
    since: String,
    until: String,
}

/// Why nothing was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRevoked {
    /// It cannot be.
    Invalid(String),
    /// There would be more than proxies are told of.
    TooMany(usize),
    /// The store refuses.
    Store(StoreError),
}

impl fmt::Display for NotRevoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(problem) => f.write_str(problem),
            Self::TooMany(count) => write!(
                f,
                "{count} certificates that still hold would be revoked, and proxies are told of {MOST} at most; wait until some have expired"
            ),
            Self::Store(error) => error.fmt(f),
        }
    }
}

/// A number as it is kept: pairs of hexadecimal digits in lower case, without zeros before them. Colons between them may be there.
///
/// # Errors
/// It is none.
pub fn serial(text: &str) -> Result<String, String> {
    let digits = text.replace(':', "").to_ascii_lowercase();
    let short = digits.trim_start_matches('0');
    let serial = if short.len().is_multiple_of(2) { short.to_owned() } else { format!("0{short}") };
    let is_one = !serial.is_empty() && serial.len() <= LONGEST_SERIAL * 2 && serial.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then_some(serial).ok_or_else(|| "must be a certificate's number: at most 40 hexadecimal digits".to_owned())
}

impl Revocation {
    /// What it is called.
    pub fn id(&self) -> String {
        match &self.whose {
            Whose::Certificate(serial, _) => serial.clone(),
            Whose::Account(identity) => account_id(identity),
        }
    }

    /// Who is concerned, if that is known.
    pub const fn identity(&self) -> Option<&Identity> {
        match &self.whose {
            Whose::Certificate(_, identity) => identity.as_ref(),
            Whose::Account(identity) => Some(identity),
        }
    }

    fn read(id: &str, kept: &Kept, trust_domain: &str) -> Option<Self> {
        let record: Record = serde_json::from_str(&kept.text).ok()?;
        let time = |text: &str| humantime::parse_rfc3339(text).ok();
        let whose = match id.split_once(':') {
            Some((namespace, account)) => Whose::Account(Identity::new(trust_domain, namespace, account).ok()?),
            None => Whose::Certificate(id.to_owned(), record.identity.and_then(|identity| identity.parse().ok())),
        };
        Some(Self { whose, reason: record.reason, since: time(&record.since)?, until: time(&record.until)? })
    }

    fn put(&self) -> Put {
        let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
        let identity = match &self.whose {
            Whose::Certificate(_, identity) => identity.as_ref().map(ToString::to_string),
            Whose::Account(_) => None,
        };
        let record = Record { identity, reason: self.reason, since: time(self.since), until: time(self.until) };
        let text = serde_json::to_string(&record).unwrap_or_default();
        Put { shelf: Shelf::Revocations, key: self.id(), text: Some(text), expected: None }
    }
}

fn account_id(Identity { namespace, account, .. }: &Identity) -> String {
    format!("{namespace}:{account}")
}

/// Times are kept to the second.
fn whole(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

impl Authority {
    /// All revocations that still concern somebody, in the order of their names.
    pub fn revocations(&self, now: SystemTime) -> Vec<Revocation> {
        let kept = self.store.records().list(Shelf::Revocations);
        let read = kept.iter().filter_map(|(id, kept)| Revocation::read(id, kept, &self.trust_domain));
        read.filter(|revocation| revocation.until > now).collect()
    }

    /// Hears when there is another one, or one less.
    pub fn revocation_changes(&self) -> watch::Receiver<u64> {
        self.revoked.subscribe()
    }

    /// Until when one is kept.
    pub(super) fn revoked_until(&self, id: &str, kept: &Kept) -> Option<SystemTime> {
        Revocation::read(id, kept, &self.trust_domain).map(|revocation| revocation.until)
    }

    fn revocation(&self, id: &str) -> Option<Revocation> {
        let kept = self.store.records().get(Shelf::Revocations, id)?;
        Revocation::read(id, &kept, &self.trust_domain)
    }

    /// Nothing that an account was given before that is good.
    pub(super) fn account_since(&self, identity: &Identity) -> Option<SystemTime> {
        self.revocation(&account_id(identity)).map(|revocation| revocation.since)
    }

    /// Why a certificate is not good although it holds. A record that cannot be read is taken for what its name says.
    pub fn refuses(&self, shown: &Verified) -> Option<String> {
        let records = self.store.records();
        let at = |since: SystemTime| humantime::format_rfc3339_seconds(since);
        if records.get(Shelf::Revocations, &shown.serial).is_some() {
            let (since, why) = self.revocation(&shown.serial).map_or_else(Default::default, |revocation| {
                (format!(" at {}", at(revocation.since)), format!(" ({})", revocation.reason.as_str()))
            });
            return Some(format!("the certificate {} was revoked{since}{why}", shown.serial));
        }
        records.get(Shelf::Revocations, &account_id(&shown.identity))?;
        let since = self.account_since(&shown.identity);
        let is_older = since.is_none_or(|since| shown.not_before < since);
        let since = since.map(|since| format!(" at {}", at(since))).unwrap_or_default();
        is_older.then(|| format!("all certificates of {} were revoked{since}, and {} is one of them", shown.identity, shown.serial))
    }

    /// Revokes a certificate, or all that an account has at this moment. One that is revoked already stays as it is.
    ///
    /// # Errors
    /// Why not.
    pub async fn revoke(&self, whose: Whose, reason: Reason, now: SystemTime) -> Result<Revocation, NotRevoked> {
        let issued = self.issued();
        let longest = whole(now) + self.longest() + Duration::from_secs(1);
        let revocation = match whose {
            Whose::Certificate(serial, _) => {
                if let Some(known) = self.revocation(&serial) {
                    return Ok(known);
                }
                let found = issued.iter().find(|issued| issued.serial == serial);
                let identity = found.map(|issued| issued.identity(&self.trust_domain)).transpose().map_err(NotRevoked::Invalid)?;
                let until = found.map_or(longest, |issued| issued.until);
                Revocation { whose: Whose::Certificate(serial, identity), reason, since: whole(now), until }
            }
            Whose::Account(identity) => {
                if identity.is_control_planes() {
                    return Err(NotRevoked::Invalid(format!("{identity} is the control plane; replace the root instead")));
                }
                // Certificates that were given after the last time begin then; each time is later than the one before.
                let before = self.account_since(&identity).map(|before| before + Duration::from_secs(1));
                let since = before.map_or_else(|| whole(now), |before| before.max(whole(now)));
                Revocation { whose: Whose::Account(identity), reason, since, until: longest }
            }
        };
        let mut all = self.revocations(now);
        all.retain(|known| known.id() != revocation.id());
        all.push(revocation.clone());
        let count = Self::revoked_serials(&all, &issued, now).len();
        if count > MOST {
            return Err(NotRevoked::TooMany(count));
        }
        self.store.keep(vec![revocation.put()]).await.map_err(NotRevoked::Store)?;
        let identity = revocation.identity().map(ToString::to_string).unwrap_or_default();
        let (id, reason) = (revocation.id(), reason.as_str());
        tracing::warn!(target: "audit", id, identity, reason, certificates = count, "certificates were revoked");
        Ok(revocation)
    }

    /// Takes a revocation back; what it was, if it was there.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn restore(&self, id: &str) -> Result<Option<Revocation>, StoreError> {
        let Some(kept) = self.store.records().get(Shelf::Revocations, id) else { return Ok(None) };
        let was = Revocation::read(id, &kept, &self.trust_domain);
        self.store.keep(vec![Put { shelf: Shelf::Revocations, key: id.to_owned(), text: None, expected: None }]).await?;
        tracing::warn!(target: "audit", id, "a revocation was taken back");
        Ok(was)
    }

    /// Says so when others have revoked something.
    pub(super) async fn follow_revocations(&self) {
        let mut changes = self.store.records().changes();
        let mut known = Vec::new();
        loop {
            let kept = self.store.records().list(Shelf::Revocations);
            let now: Vec<_> = kept.into_iter().map(|(id, kept)| (id, kept.version)).collect();
            if now != known {
                known = now;
                self.revoked.send_modify(|count| *count = count.wrapping_add(1));
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
