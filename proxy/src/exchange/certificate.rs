use std::time::SystemTime;

/// What a certificate says of its owner; all of it is empty where it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// URI names.
    pub uris: Vec<String>,
    /// DNS names.
    pub hosts: Vec<String>,
    /// Addresses.
    pub addresses: Vec<String>,
    /// Mail addresses.
    pub mails: Vec<String>,
    /// The owner, as RFC 2253 writes it.
    pub subject: String,
    /// Who issued it, likewise.
    pub issuer: String,
    /// Its number in hexadecimal digits.
    pub serial: String,
    /// SHA-256 of its DER form, in hexadecimal digits.
    pub fingerprint_256: String,
    /// SHA-1 likewise.
    pub fingerprint_1: String,
    /// It is not valid before.
    pub valid_from: Option<SystemTime>,
    /// It is not valid after.
    pub expires: Option<SystemTime>,
}
