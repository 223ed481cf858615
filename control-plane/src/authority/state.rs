//! What the store keeps of an authority that is made here: one record, so that each step of a rotation is one write.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use crate::authority::certificate::{self, Root};
use crate::authority::issuer::{Issuer, Local};
use crate::authority::seal::Seal;
use crate::authority::trust::{Rotation, Step, Trust};

/// Roots that are no longer trusted, and that tokens may still name.
const FORMER: usize = 2;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    trust_domain: String,
    step: Step,
    /// Since when it is at this step.
    since: String,
    /// When the next one is due, if that is a matter of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Seconds that certificates hold at most, by any of them: the longest that was ever said. Zero is not known.
    #[serde(default)]
    longest: u64,
    /// Those that are trusted, the oldest first.
    roots: Vec<Kept>,
    /// Those that are not any more, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former: Vec<Former>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    certificate: String,
    /// Its key, encrypted.
    key: String,
    /// Its key, signed by the root before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cross: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Former {
    certificate: String,
    /// The next one's key, signed by it.
    cross: String,
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn root(pem: &str) -> Result<Root, String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| "a root in the store cannot be read".to_owned())?;
    Root::read(der)
}

impl Kept {
    fn new(root: &Root, key: &KeyPair, seal: &Seal) -> Result<Self, String> {
        let sealed = seal.seal(&root.fingerprint, key.serialized_der());
        let sealed = sealed.ok_or_else(|| "the root's key cannot be encrypted".to_owned())?;
        Ok(Self { certificate: root.pem(), key: sealed, cross: None })
    }

    fn key(&self, root: &Root, seal: &Seal) -> Result<KeyPair, String> {
        let wrong = || "the authority's key in the store was encrypted with another key file".to_owned();
        let der = seal.open(&root.fingerprint, &self.key).ok_or_else(wrong)?;
        let der = PrivatePkcs8KeyDer::from(der);
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256)
            .map_err(|error| format!("the authority's key in the store is not understood: {error}"))
    }
}

impl State {
    /// A new authority.
    pub(super) fn first(trust_domain: &str, seal: &Seal, now: SystemTime, longest: Duration) -> Result<Self, String> {
        let (root, key) = certificate::make(trust_domain, now)?;
        let roots = vec![Kept::new(&root, &key, seal)?];
        let (step, since, longest) = (Step::Steady, time(now), longest.as_secs());
        Ok(Self { trust_domain: trust_domain.to_owned(), step, since, until: None, longest, roots, former: Vec::new() })
    }

    pub(super) fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("the authority in the store is not understood: {error}"))
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The same with certificates that hold for longer, if they do.
    pub(super) fn longer(&self, longest: Duration) -> Option<Self> {
        let longest = longest.as_secs();
        (longest > self.longest).then(|| Self { longest, ..self.clone() })
    }

    /// What it comes to.
    pub(super) fn trust(&self, trust_domain: &str, seal: &Seal, version: u64) -> Result<Trust, String> {
        if self.trust_domain != trust_domain {
            let (own, asked) = (&self.trust_domain, trust_domain);
            return Err(format!("the authority in the store is of trust domain {own:?}, and --trust-domain says {asked:?}"));
        }
        let roots: Vec<Root> = self.roots.iter().map(|kept| root(&kept.certificate)).collect::<Result<_, _>>()?;
        let keys: Vec<KeyPair> = self.roots.iter().zip(&roots).map(|(kept, root)| kept.key(root, seal)).collect::<Result<_, _>>()?;
        let signing = if self.step == Step::Distributing { 0 } else { roots.len().saturating_sub(1) };
        let nothing = || "the authority in the store has no root".to_owned();
        let current = roots.get(signing).cloned().ok_or_else(nothing)?;
        let cross = self.roots.get(signing).and_then(|kept| kept.cross.as_deref()).map(root).transpose()?;
        // Who does not trust the new root yet verifies what it signs by the old one.
        let above = if self.step == Step::Issuing { cross.iter().map(|cross| cross.der.clone()).collect() } else { Vec::new() };
        let mut beside: Vec<CertificateDer<'static>> = cross.into_iter().map(|cross| cross.der).collect();
        beside.extend(self.former.iter().map(|former| root(&former.cross).map(|cross| cross.der)).collect::<Result<Vec<_>, _>>()?);
        beside.push(current.der.clone());
        beside.extend(roots.iter().map(|root| root.der.clone()));
        beside.extend(self.former.iter().map(|former| root(&former.certificate).map(|root| root.der)).collect::<Result<Vec<_>, _>>()?);
        let mut listing: Vec<Arc<dyn Issuer>> = Vec::new();
        for (index, (root, key)) in roots.iter().zip(keys).enumerate() {
            let above = if index == signing { above.clone() } else { Vec::new() };
            listing.push(Arc::new(Local::new(root.clone(), key, above)?));
        }
        let issuer = listing.get(signing).map(Arc::clone).ok_or_else(nothing)?;
        let at = |text: &str| humantime::parse_rfc3339(text).map_err(|error| format!("the authority in the store: {error}"));
        let until = self.until.as_deref().map(at).transpose()?;
        let rotation = Rotation { step: self.step, since: at(&self.since)?, until };
        let longest = Some(Duration::from_secs(self.longest));
        Ok(Trust { issuer, roots, current, beside, rotation, longest, listing, only_leaves: false, version })
    }

    /// A new root is trusted beside the old one, which goes on signing.
    pub(super) fn begin(&self, seal: &Seal, now: SystemTime) -> Result<Self, String> {
        let [old] = self.roots.as_slice() else { return Err("a rotation is under way".to_owned()) };
        let older = root(&old.certificate)?;
        let (newer, key) = certificate::make(&self.trust_domain, now)?;
        let cross = certificate::cross(&newer, &key, &older, old.key(&older, seal)?, now)?;
        let kept = Kept { cross: Some(cross.pem()), ..Kept::new(&newer, &key, seal)? };
        Ok(Self { step: Step::Distributing, since: time(now), until: None, roots: vec![old.clone(), kept], ..self.clone() })
    }

    /// The new root signs. The old one is trusted as long as what it has signed may hold.
    pub(super) fn issue(&self, now: SystemTime, slack: Duration) -> Self {
        let until = now + Duration::from_secs(self.longest) + slack;
        Self { step: Step::Issuing, since: time(now), until: Some(time(until)), ..self.clone() }
    }

    /// The old root is no longer trusted.
    pub(super) fn forget(&self, now: SystemTime) -> Self {
        let mut roots = self.roots.clone();
        let new = roots.pop();
        let cross = new.as_ref().and_then(|new| new.cross.clone()).unwrap_or_default();
        let gone = roots.into_iter().map(|old| Former { certificate: old.certificate, cross: cross.clone() });
        let former = gone.chain(self.former.iter().cloned()).take(FORMER).collect();
        // The way from the old root is among the former ones now.
        let roots = new.into_iter().map(|new| Kept { cross: None, ..new }).collect();
        Self { step: Step::Steady, since: time(now), until: None, roots, former, ..self.clone() }
    }
}
