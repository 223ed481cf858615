//! Who signs and who is trusted, at one time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::authority::certificate::Root;
use crate::authority::issuer::Issuer;

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// There is none.
    Steady,
    /// The new root is made known, and the old one signs.
    Distributing,
    /// The new root signs, and what the old one has signed still holds.
    Issuing,
}

impl Step {
    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Distributing => "distributing",
            Self::Issuing => "issuing",
        }
    }
}

/// A rotation, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// How far it is.
    pub step: Step,
    /// Since when.
    pub since: SystemTime,
    /// When the next step is due, if that is a matter of time.
    pub until: Option<SystemTime>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Signs.
    pub issuer: Arc<dyn Issuer>,
    /// Those that are trusted.
    pub roots: Vec<Root>,
    /// The one above all that is signed.
    pub current: Root,
    /// What this server shows of itself beside its chain: whoever knows one of these finds a way to it.
    pub beside: Vec<CertificateDer<'static>>,
    /// A rotation.
    pub rotation: Rotation,
    /// How long certificates hold at most, as all control planes know; not where that is not kept.
    pub longest: Option<Duration>,
    /// Those that say which certificates of theirs are revoked: of all roots that are trusted.
    pub listing: Vec<Arc<dyn Issuer>>,
    /// Whether they say nothing of authorities between a certificate and its root.
    pub only_leaves: bool,
    /// Of the record.
    pub version: u64,
}

impl Trust {
    /// The roots as PEM, one after the other.
    pub fn bundle(&self) -> String {
        self.roots.iter().map(Root::pem).collect()
    }

    /// The root that all are to know, while there is a rotation.
    pub fn to_be_known(&self) -> Option<&str> {
        let newest = self.roots.last().filter(|_| self.rotation.step != Step::Steady);
        newest.map(|root| root.fingerprint.as_str())
    }

    /// A chain as this server shows it.
    pub(super) fn shown(&self, chain: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
        let mut all = chain.to_vec();
        for certificate in &self.beside {
            if !all.contains(certificate) {
                all.push(certificate.clone());
            }
        }
        all
    }
}
