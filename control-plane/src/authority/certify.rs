//! A request for a certificate, from the caller's proof to the chain that it is given.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::authority::Authority;
use crate::authority::caller::{Authenticator, Caller, by_certificate};
use crate::authority::csr::{self, Csr};
use crate::authority::issuer::Order;
use crate::authority::limits;
use crate::authority::text::pem;
use crate::authority::trust::Trust;
use crate::model::identity::Verified;
use crate::places::host;

/// Who signs may change while it does.
const TRIES: usize = 3;

/// What is asked for, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The request, as PEM.
    pub csr: &'a str,
    /// How long it is to hold; 0 leaves that to the authority.
    pub seconds: i64,
    /// What is shown in `authorization`.
    pub token: Option<&'a str>,
    /// The certificate of the connection.
    pub shown: Option<&'a Verified>,
    /// Where it comes from.
    pub from: Option<IpAddr>,
}

/// Why there is no certificate; each is a sentence for the caller's operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The request is none.
    Invalid(String),
    /// What is shown is no proof of who it is.
    Unauthenticated(String),
    /// It may not have it.
    Denied(String),
    /// It asks too often.
    Exhausted(String),
    /// It cannot be now.
    Unavailable(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason)
            | Self::Unauthenticated(reason)
            | Self::Denied(reason)
            | Self::Exhausted(reason)
            | Self::Unavailable(reason) => f.write_str(reason),
        }
    }
}

impl Authority {
    /// Gives a caller a certificate: the leaf first, then what lies between it and the root, the root last, each as PEM. Whatever comes
    /// of it is told to the audit log.
    ///
    /// # Errors
    /// Why it is given none.
    pub async fn certify(&self, callers: &[Box<dyn Authenticator>], asked: Asked<'_>) -> Result<Vec<String>, Refused> {
        let mut known = None;
        let given = self.given_to(callers, asked, &mut known).await;
        let from = asked.from.map(|from| from.to_string()).unwrap_or_default();
        let words = |caller: Caller| (caller.identity.to_string(), caller.by.to_string(), caller.limits.to_string());
        let (identity, by, labels) = known.map(words).unwrap_or_default();
        match &given {
            Ok((serial, not_after, _)) => {
                let until = humantime::format_rfc3339_seconds(*not_after);
                tracing::info!(target: "audit", identity, by, from, serial, labels, %until, "a certificate was issued");
            }
            Err(refused) => {
                self.counters.refused(refused);
                tracing::warn!(target: "audit", identity, by, from, reason = %refused, "a certificate was refused");
            }
        }
        given.map(|(_, _, chain)| chain)
    }

    async fn given_to(
        &self,
        callers: &[Box<dyn Authenticator>],
        asked: Asked<'_>,
        known: &mut Option<Caller>,
    ) -> Result<(String, SystemTime, Vec<String>), Refused> {
        let (caller, authenticator) = self.known(callers, asked).await?;
        let caller = &*known.insert(caller);
        if caller.identity.is_control_planes() {
            return Err(Refused::Denied(format!("{} is the control plane, and nobody else is given its certificate", caller.identity)));
        }
        if !self.requests.charge(caller.identity.clone(), Instant::now()) {
            return Err(Refused::Exhausted(format!("{} asks for certificates too often; try again later", caller.identity)));
        }
        self.has_room(&caller.identity)?;
        let csr = csr::read(asked.csr).map_err(Refused::Invalid)?;
        csr.asks_for(&caller.identity).map_err(Refused::Denied)?;
        if let Some(authenticator) = authenticator {
            authenticator.take(caller, &csr.key_id()).await?;
        }
        self.signed(caller, csr, asked.seconds).await
    }

    async fn signed(&self, caller: &Caller, csr: Csr, seconds: i64) -> Result<(String, SystemTime, Vec<String>), Refused> {
        let mut order = Order {
            identity: caller.identity.clone(),
            workload: caller.workload.clone(),
            limits: caller.limits.clone(),
            hosts: Vec::new(),
            not_before: None,
            key: csr.key,
            ttl: Duration::ZERO,
        };
        for _ in 0..TRIES {
            let trust = self.trust();
            order.ttl = self.ttl(&trust, seconds)?;
            // So it is told from what was given before all of the account's were revoked.
            order.not_before = self.account_since(&caller.identity);
            let issued = trust.issuer.issue(&order).await.map_err(Refused::Unavailable)?;
            limits::are_said(&order.limits, &issued).map_err(Refused::Unavailable)?;
            self.note(&caller.identity, &issued).await?;
            // What others have written until then is known here by now.
            if self.is_stale(&trust) || self.account_since(&caller.identity) != order.not_before {
                self.refresh();
                continue;
            }
            self.may_still(caller)?;
            self.counters.issued(&caller.by);
            let mut chain: Vec<String> = issued.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
            chain.push(trust.current.pem());
            return Ok((issued.serial, issued.not_after, chain));
        }
        Err(Refused::Unavailable("who signs changes at this moment; try again".to_owned()))
    }

    /// Whether the certificate that a caller is known by was not revoked meanwhile.
    fn may_still(&self, caller: &Caller) -> Result<(), Refused> {
        let reason = caller.shown.as_ref().and_then(|shown| self.refuses(shown));
        reason.map_or(Ok(()), |reason| Err(Refused::Denied(reason)))
    }

    /// Who it is, unless too many who could not show that come from the same place.
    async fn known<'a>(
        &self,
        callers: &'a [Box<dyn Authenticator>],
        asked: Asked<'_>,
    ) -> Result<(Caller, Option<&'a dyn Authenticator>), Refused> {
        let Some(from) = asked.from else { return self.authenticate(callers, asked).await };
        let host = host(from);
        let too_many = || Refused::Exhausted(format!("too many callers from {from} could not show who they are; try again later"));
        let outside = |token: &str| callers.iter().any(|callers| callers.knows(token) && callers.asks_others());
        if asked.shown.is_none() && asked.token.is_some_and(outside) {
            // It is paid before, and given back: else any number would be asked about before the first is refused.
            if !self.questions.charge(host, Instant::now()) {
                return Err(too_many());
            }
            let Some(_place) = self.asking.take(host) else {
                self.questions.refund(&host);
                return Err(Refused::Exhausted("too many callers are being asked about; try again later".to_owned()));
            };
            let known = self.authenticate(callers, asked).await?;
            self.questions.refund(&host);
            return Ok(known);
        }
        let known = self.authenticate(callers, asked).await;
        // Others of the same address, who show who they are, are not held up by it.
        if matches!(known, Err(Refused::Unauthenticated(_))) && !self.failures.charge(host, Instant::now()) {
            return Err(too_many());
        }
        known
    }

    /// By its certificate, where it has one: renewing costs no token.
    async fn authenticate<'a>(
        &self,
        callers: &'a [Box<dyn Authenticator>],
        asked: Asked<'_>,
    ) -> Result<(Caller, Option<&'a dyn Authenticator>), Refused> {
        let shown = asked.shown.map(|shown| by_certificate(shown, SystemTime::now())).transpose()?;
        if let Some(caller) = &shown {
            self.may_still(caller)?;
        }
        let Some(token) = asked.token else {
            let nothing = || {
                let ways = "a token in `authorization: Bearer TOKEN`, or a certificate of this mesh";
                Refused::Unauthenticated(format!("nothing says who asks: {ways}, is needed"))
            };
            return shown.map(|caller| (caller, None)).ok_or_else(nothing);
        };
        let unknown = || Refused::Unauthenticated("the token is not of a kind that is known here".to_owned());
        let known = callers.iter().find(|callers| callers.knows(token));
        let Some(authenticator) = known.filter(|callers| shown.is_none() || !callers.asks_others()) else {
            // As Istio: one good proof is enough.
            return shown.map(|caller| (caller, None)).ok_or_else(unknown);
        };
        match (shown, authenticator.authenticate(token, &self.trust_domain).await) {
            (Some(shown), Ok(caller)) if caller.identity != shown.identity => {
                let (one, other) = (&shown.identity, &caller.identity);
                Err(Refused::Denied(format!("the certificate is of {one}, and the token of {other}")))
            }
            // A token that is over by now has done its part.
            (Some(shown), Ok(_) | Err(Refused::Unauthenticated(_) | Refused::Unavailable(_))) => Ok((shown, None)),
            (_, authenticated) => authenticated.map(|caller| (caller, Some(&**authenticator))),
        }
    }

    fn ttl(&self, trust: &Trust, seconds: i64) -> Result<Duration, Refused> {
        let asked = u64::try_from(seconds).map_err(|_| Refused::Invalid(format!("a certificate cannot hold for {seconds} seconds")))?;
        let asked = if asked == 0 { self.times.usual } else { Duration::from_secs(asked) };
        // As long as all control planes know that certificates may hold, and no longer.
        let longest = trust.longest.map_or(self.times.longest, |longest| longest.min(self.times.longest));
        Ok(asked.min(longest).max(super::SHORTEST))
    }
}
