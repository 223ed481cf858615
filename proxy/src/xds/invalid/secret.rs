use crate::config::current::Current;
use crate::config::identity::{ALL_DOMAINS, CertificateSource, Enrolment, Means, OWN_CERTIFICATE, OWN_DOMAIN, OWN_TRUST, Validation};

/// A secret that the bootstrap file holds.
#[derive(Clone, Debug)]
pub enum StaticSecret {
    /// A certificate and its key.
    Certificate(CertificateSource),
    /// What peers must show.
    Validation(Current<Validation>),
}

impl StaticSecret {
    /// Those of a proxy's own identity, by name.
    pub fn of_enrolment(enrolment: &Enrolment) -> Vec<(String, Self)> {
        let trust = |validation: &Current<Validation>| Self::Validation(validation.clone());
        let mut all = vec![(OWN_CERTIFICATE, Self::Certificate(enrolment.certificate.clone())), (OWN_TRUST, trust(&enrolment.trust))];
        match enrolment.means {
            // Whom the mesh trusts, its control plane says.
            Means::Token(_) => {}
            Means::WorkloadApi(_) => {
                all.extend([(OWN_DOMAIN, trust(&enrolment.own_domain)), (ALL_DOMAINS, trust(&enrolment.all_domains))]);
            }
        }
        all.into_iter().map(|(name, secret)| (name.to_owned(), secret)).collect()
    }

    /// Whoever refers to it sees what the other is. `false`, and nothing is changed, where that is of another kind.
    pub fn become_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Certificate(own), Self::Certificate(other)) => own.replace(other.load()),
            (Self::Validation(own), Self::Validation(other)) => own.replace(other.load()),
            (Self::Certificate(_), Self::Validation(_)) | (Self::Validation(_), Self::Certificate(_)) => return false,
        }
        true
    }
}
