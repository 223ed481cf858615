//! Certificates that were accepted already. Those who call each other do so again and again, and half of what it costs to check who is
//! there is the authority's signature, which does not change.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Mutex;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// How many are remembered: the first goes when one more comes.
const KEPT: usize = 128;

type Digest = [u8; SHA256_OUTPUT_LEN];

/// What one check has accepted, by the bytes of the whole chain. Only for checks whose answer depends on nothing but the certificates and
/// the time: where certificates are revoked, each is checked anew.
#[derive(Debug, Default)]
pub(super) struct Accepted(Mutex<VecDeque<(Digest, RangeInclusive<u64>)>>);

impl Accepted {
    /// Whether this chain was accepted, and all of it is valid at this time.
    pub(super) fn holds(&self, chain: &Chain<'_>, now: UnixTime) -> bool {
        let digest = chain.digest();
        let kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        digest.is_some_and(|digest| kept.iter().any(|(of, valid)| *of == digest && valid.contains(&now.as_secs())))
    }

    /// Remembers a chain that was accepted. One that cannot be read again is not.
    pub(super) fn keep(&self, chain: &Chain<'_>) {
        let Some((digest, valid)) = chain.digest().zip(chain.valid()) else { return };
        let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.retain(|(of, _)| *of != digest);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((digest, valid));
    }
}

/// What a peer shows: its certificate, and those between it and a trusted authority.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    pub(super) leaf: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
}

impl Chain<'_> {
    fn all(&self) -> impl Iterator<Item = &CertificateDer<'_>> {
        std::iter::once(self.leaf).chain(self.intermediates)
    }

    /// Of each certificate with its length, so that no other chain has the same bytes.
    fn digest(&self) -> Option<Digest> {
        let mut context = Context::new(&SHA256);
        for certificate in self.all() {
            context.update(&u64::try_from(certificate.len()).ok()?.to_be_bytes());
            context.update(certificate);
        }
        context.finish().as_ref().try_into().ok()
    }

    /// Seconds since 1970 in which all of them are valid.
    fn valid(&self) -> Option<RangeInclusive<u64>> {
        self.all().try_fold(0..=u64::MAX, |valid, certificate| {
            let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
            let validity = certificate.validity();
            let from = u64::try_from(validity.not_before.timestamp()).ok()?;
            let until = u64::try_from(validity.not_after.timestamp()).ok()?;
            Some(from.max(*valid.start())..=until.min(*valid.end()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::time::Duration;

    fn certificate(from: i32, until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn year(year: i32) -> UnixTime {
        let seconds = date_time_ymd(year, 6, 1).unix_timestamp();
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap()))
    }

    #[test]
    fn a_chain_holds_as_long_as_all_of_it_and_no_other_does() {
        let accepted = Accepted::default();
        let (leaf, other) = (certificate(2020, 2030), certificate(2020, 2030));
        let intermediates = [certificate(2022, 2025)];
        let chain = Chain { leaf: &leaf, intermediates: &intermediates };
        assert!(!accepted.holds(&chain, year(2023)));
        accepted.keep(&chain);
        for (at, holds) in [(2021, false), (2022, true), (2024, true), (2025, false), (2031, false)] {
            assert_eq!(accepted.holds(&chain, year(at)), holds, "{at}");
        }
        assert!(!accepted.holds(&Chain { leaf: &leaf, intermediates: &[] }, year(2023)), "without the intermediate");
        assert!(!accepted.holds(&Chain { leaf: &other, intermediates: &intermediates }, year(2023)));
    }

    #[test]
    fn the_first_is_forgotten_when_there_are_too_many() {
        let accepted = Accepted::default();
        let all: Vec<_> = (0..=KEPT).map(|_| certificate(2020, 2030)).collect();
        let chain = |leaf| Chain { leaf, intermediates: &[] };
        for leaf in &all {
            accepted.keep(&chain(leaf));
            accepted.keep(&chain(leaf));
        }
        assert!(!accepted.holds(&chain(&all[0]), year(2023)));
        assert!(all.iter().skip(1).all(|leaf| accepted.holds(&chain(leaf), year(2023))));
    }

    #[test]
    fn what_cannot_be_read_is_not_remembered() {
        let accepted = Accepted::default();
        let leaf = CertificateDer::from(vec![1, 2, 3]);
        let chain = Chain { leaf: &leaf, intermediates: &[] };
        accepted.keep(&chain);
        assert!(!accepted.holds(&chain, year(2023)));
    }
}
