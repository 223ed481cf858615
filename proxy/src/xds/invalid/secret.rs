use crate::config::current::Current;
use crate::config::identity::{CertificateSource, Enrolment, OWN_CERTIFICATE, OWN_TRUST, Validation};

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
    pub fn of_enrolment(enrolment: &Enrolment) -> [(String, Self); 2] {
        let certificate = Self::Certificate(enrolment.certificate.clone());
        [(OWN_CERTIFICATE.to_owned(), certificate), (OWN_TRUST.to_owned(), Self::Validation(enrolment.trust.clone()))]
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
