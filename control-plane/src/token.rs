//! Tokens by which workloads join the mesh. Each says for whom it is: a namespace, an account in it, perhaps one workload.
//!
//! A token is `ninon-join-ID.SECRET.PIN`. The secret comes from the system's randomness, is shown once, and is kept as a digest only. It
//! holds until it expires, until as many workloads have joined by it as may, or until it is revoked, which takes it away. What is kept
//! is signed: a record that this mesh's control plane has not written lets nobody in. The pin says
//! which authority its bearer can trust; it is no concern of who looks at the token here, and older tokens have none.

/// How a token is written.
mod secret;
/// Who has written a record.
mod signature;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::model::identity::is_control_planes;
use crate::model::limits::Limits;
use crate::model::name::Name;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::records::{Kept, Put, Shelf};

use secret::{Digest, Written};

pub use secret::PREFIX;
pub use signature::Signer;

/// Tokens at a time.
const MOST: usize = 10_000;
/// Workloads that may join by one token, where that is limited: their names are kept.
pub const MOST_USES: u32 = 1_000;
/// Longer than this is as good as for ever.
pub const LONGEST: Duration = Duration::from_secs(3_660 * 86_400);
/// Digits that tell keys apart: nobody finds two keys that have these in common.
const KEY: usize = 32;
/// A writer that others are always ahead of gives up.
const TRIES: usize = 20;

/// For whom a token is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The namespace.
    pub namespace: String,
    /// The account in it.
    pub service_account: String,
    /// The only workload; any, if there is none.
    pub workload: Option<String>,
    /// Which labels.
    pub limits: Limits,
    /// How long.
    pub ttl: Duration,
    /// How many different workloads may join; any number, if there is none.
    pub uses: Option<u32>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is called.
    pub id: String,
    /// For whom.
    pub namespace: String,
    /// The account.
    pub service_account: String,
    /// The only workload.
    pub workload: Option<String>,
    /// Which labels those have that join by it.
    pub limits: Limits,
    /// When it was made.
    pub created: SystemTime,
    /// When nobody can join by it any more.
    pub expires: SystemTime,
    /// How many different workloads may join.
    pub uses: Option<u32>,
    /// Those that have, if they are counted.
    pub used: Vec<String>,
    /// Whether its record is as the control plane has written it; nobody joins by one that is not.
    pub is_signed: bool,
    digest: Digest,
    version: u64,
}

/// As it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    namespace: String,
    account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workload: Option<String>,
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    labels: Limits,
    created: String,
    expires: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    used: Vec<String>,
    digest: String,
    /// Over all the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// Why nobody is let in by a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is none, is not known, or was revoked.
    Unknown,
    /// The record of this one was not written by a control plane with the same key.
    NotSigned(String),
    /// It is over.
    Expired(SystemTime),
    /// It is for somebody else: which rule says so.
    NotFor(String),
    /// As many have joined as may.
    UsedUp(u32),
    /// The store does not answer.
    Store(StoreError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the token is not known here: it was never made, or was revoked"),
            Self::NotSigned(id) => write!(
                f,
                "the record of the token {id} is not signed with the key of this control plane: it was written or changed by somebody else, \
                 by another version, or by a control plane with another --token-key-file; make a new token"
            ),
            Self::Expired(at) => write!(f, "the token expired at {}", humantime::format_rfc3339_seconds(*at)),
            Self::NotFor(rule) => f.write_str(rule),
            Self::UsedUp(uses) => write!(f, "the token is used up: {uses} workloads may join by it, and have"),
            Self::Store(error) => write!(f, "the token cannot be looked at: {error}"),
        }
    }
}

impl Token {
    /// Whether it is over.
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires <= now
    }

    fn if_signed(self) -> Result<Self, Refused> {
        if self.is_signed { Ok(self) } else { Err(Refused::NotSigned(self.id)) }
    }

    /// Whether it is for a workload under an account.
    ///
    /// # Errors
    /// The rule that says no.
    pub fn allows(&self, name: &Name, account: &str) -> Result<(), Refused> {
        let no = |what: &str, own: &str, asked: &str| {
            Err(Refused::NotFor(format!("the token {} is for {what} {own:?}, and this is {what} {asked:?}", self.id)))
        };
        if is_control_planes(&name.namespace, account) {
            return Err(Refused::NotFor(format!("{}/{account} is the control plane, and nobody else", name.namespace)));
        }
        if *self.namespace != *name.namespace {
            return no("namespace", &self.namespace, &name.namespace);
        }
        if self.service_account != account {
            return no("service account", &self.service_account, account);
        }
        match &self.workload {
            Some(workload) if **workload != *name.name => no("workload", workload, &name.name),
            _ => Ok(()),
        }
    }

    /// What cannot be read is a token, too, which says nothing and was not signed: it can be seen and revoked.
    fn read(id: &str, kept: &Kept, signer: &Signer) -> Self {
        let strange = Self {
            id: id.to_owned(),
            namespace: String::new(),
            service_account: String::new(),
            workload: None,
            limits: Limits::default(),
            created: UNIX_EPOCH,
            expires: UNIX_EPOCH,
            uses: None,
            used: Vec::new(),
            is_signed: false,
            digest: Digest::of_nothing(),
            version: kept.version,
        };
        Self::understood(&kept.text, &strange, signer).unwrap_or(strange)
    }

    fn understood(text: &str, strange: &Self, signer: &Signer) -> Option<Self> {
        let mut record: Record = serde_json::from_str(text).ok()?;
        // What is not understood here would not be written again: such a record, of a newer version, lets nobody in.
        let is_whole = serde_json::to_string(&record).ok()? == text;
        let signature = record.signature.take().filter(|_| is_whole);
        let signed = serde_json::to_string(&record).ok()?;
        Some(Self {
            is_signed: signature.is_some_and(|signature| signer.has_signed(&strange.id, &signed, &signature)),
            namespace: record.namespace,
            service_account: record.account,
            workload: record.workload,
            limits: record.labels,
            created: humantime::parse_rfc3339(&record.created).ok()?,
            expires: humantime::parse_rfc3339(&record.expires).ok()?,
            uses: record.uses,
            used: record.used,
            digest: Digest::read(&record.digest)?,
            ..strange.clone()
        })
    }

    fn put(&self, signer: &Signer) -> Put {
        let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
        let mut record = Record {
            namespace: self.namespace.clone(),
            account: self.service_account.clone(),
            workload: self.workload.clone(),
            labels: self.limits.clone(),
            created: time(self.created),
            expires: time(self.expires),
            uses: self.uses,
            used: self.used.clone(),
            digest: self.digest.text(),
            signature: None,
        };
        let text = |record: &Record| serde_json::to_string(record).unwrap_or_default();
        record.signature = Some(signer.sign(&self.id, &text(&record)));
        Put { shelf: Shelf::Tokens, key: self.id.clone(), text: Some(text(&record)), expected: Some(self.version) }
    }
}

/// Which tokens are good for somebody, by their ids: the version of each that was looked at, and whether it was signed.
pub type Signed = BTreeMap<Arc<str>, (u64, bool)>;

/// All tokens. Clones are the same.
#[derive(Clone, Debug)]
pub struct Tokens {
    store: Store,
    signer: Signer,
}

impl Tokens {
    /// Those of a store, with the key that signs what it keeps of them.
    pub const fn new(store: Store, signer: Signer) -> Self {
        Self { store, signer }
    }

    /// Makes a token; what is to be shown once is beside it, with the pin of the authority.
    ///
    /// # Errors
    /// There are too many, there is no randomness, or the store refuses.
    pub async fn create(&self, wish: Wish, pin: Option<&str>) -> Result<(Token, String), StoreError> {
        if self.store.records().count(Shelf::Tokens) >= MOST {
            return Err(StoreError::Full("tokens"));
        }
        let written = Written::random().ok_or_else(|| StoreError::Disk("the system has no randomness".to_owned()))?;
        // Kept to the second.
        let now = SystemTime::now();
        let token = Token {
            id: written.id.clone(),
            namespace: wish.namespace,
            service_account: wish.service_account,
            workload: wish.workload,
            limits: wish.limits,
            created: now,
            expires: now + wish.ttl.min(LONGEST),
            uses: wish.uses.map(|uses| uses.clamp(1, MOST_USES)),
            used: Vec::new(),
            is_signed: true,
            digest: written.digest(),
            version: 0,
        };
        match self.store.keep(vec![token.put(&self.signer)]).await?.as_slice() {
            [true] => Ok((token, written.text(pin))),
            _ => Err(StoreError::Busy),
        }
    }

    /// All there are, the oldest first. Those that are over, and those that are not signed, are among them.
    pub fn list(&self) -> Vec<Token> {
        let kept = self.store.records().list(Shelf::Tokens);
        let mut tokens: Vec<Token> = kept.iter().map(|(id, kept)| Token::read(id, kept, &self.signer)).collect();
        tokens.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
        tokens
    }

    /// Which of them are signed; what has not changed since `before` is not looked at again.
    pub fn signed(&self, before: &Signed) -> Signed {
        let look = |(id, kept): (Arc<str>, Kept)| {
            let known = before.get(&id).filter(|(version, _)| *version == kept.version);
            let is_signed = known.map_or_else(|| Token::read(&id, &kept, &self.signer).is_signed, |(_, is_signed)| *is_signed);
            (id, (kept.version, is_signed))
        };
        self.store.records().list(Shelf::Tokens).into_iter().map(look).collect()
    }

    /// One by its id.
    pub fn get(&self, id: &str) -> Option<Token> {
        Some(Token::read(id, &self.store.records().get(Shelf::Tokens, id)?, &self.signer))
    }

    /// Takes a token away; whether it was there.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        if self.store.records().get(Shelf::Tokens, id).is_none() {
            return Ok(false);
        }
        self.store.keep(vec![Put { shelf: Shelf::Tokens, key: id.to_owned(), text: None, expected: None }]).await?;
        Ok(true)
    }

    /// The token that somebody shows. It may be over: see [`Token::is_expired`].
    ///
    /// # Errors
    /// There is no such token, or who made it is not known.
    pub fn known(&self, shown: &str) -> Result<Token, Refused> {
        let written = Written::read(shown).ok_or(Refused::Unknown)?;
        let token = self.get(&written.id).ok_or(Refused::Unknown)?;
        // In constant time: how long it takes tells nothing of the secret.
        if token.digest.is_of(&written) { token.if_signed() } else { Err(Refused::Unknown) }
    }

    /// A workload joins by a token. One that has joined before is not counted again.
    ///
    /// # Errors
    /// The token is over, is used up, is for somebody else, or is gone by now.
    pub async fn take(&self, id: &str, name: &Name, account: &str, now: SystemTime) -> Result<(), Refused> {
        self.count(id, &name.to_string(), now, |token| token.allows(name, account)).await
    }

    /// A certificate is about to be given by a token, for a key. The same key is not counted again: an answer may get lost. A name could
    /// be said by anybody, and a key only by its bearer.
    ///
    /// # Errors
    /// The token is over, is used up, or is gone by now.
    pub async fn take_for_key(&self, id: &str, key: &str, now: SystemTime) -> Result<(), Refused> {
        let short = key.get(..KEY).unwrap_or(key);
        self.count(id, &format!("key:{short}"), now, |_| Ok(())).await
    }

    async fn count(&self, id: &str, who: &str, now: SystemTime, allows: impl Fn(&Token) -> Result<(), Refused>) -> Result<(), Refused> {
        for _ in 0..TRIES {
            let mut token = self.get(id).ok_or(Refused::Unknown)?.if_signed()?;
            allows(&token)?;
            if token.is_expired(now) {
                return Err(Refused::Expired(token.expires));
            }
            let Some(uses) = token.uses.filter(|_| !token.used.iter().any(|used| used == who)) else { return Ok(()) };
            if token.used.len() >= usize::try_from(uses).unwrap_or(usize::MAX) {
                return Err(Refused::UsedUp(uses));
            }
            token.used.push(who.to_owned());
            if self.store.keep(vec![token.put(&self.signer)]).await.map_err(Refused::Store)? == [true] {
                return Ok(());
            }
        }
        Err(Refused::Store(StoreError::Busy))
    }
}

#[cfg(test)]
mod tests;
