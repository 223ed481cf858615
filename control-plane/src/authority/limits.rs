//! What a certificate says of the labels that its bearer may register: an extension of our own. So it outlives the token, goes from a
//! certificate to the one that follows it, and needs no store. Who verifies connections need not know it.

use rcgen::CustomExtension;
use x509_parser::asn1_rs::{FromDer as _, Oid, ToDer as _, Utf8String};
use x509_parser::certificate::X509Certificate;

use crate::authority::issuer::Issued;
use crate::model::limits::Limits;

/// A number of our own, below the arc where numbers need not be registered.
const OID: [u64; 3] = [2, 25, 0x4e69_6e6f_6e4c_696d];

/// The extension; none, where there is nothing to say.
pub(super) fn extension(limits: &Limits) -> Result<Option<CustomExtension>, String> {
    if limits.is_none() {
        return Ok(None);
    }
    let failed = |what: &dyn std::fmt::Display| format!("the labels {limits} cannot be in a certificate: {what}");
    let text = serde_json::to_string(limits).map_err(|error| failed(&error))?;
    let content = Utf8String::new(&text).to_der_vec().map_err(|error| failed(&error))?;
    Ok(Some(CustomExtension::from_oid_content(&OID, content)))
}

/// What a certificate says of them.
///
/// # Errors
/// It says something that is not understood.
pub(super) fn read(certificate: &X509Certificate<'_>) -> Result<Limits, String> {
    let unclear = || "what the certificate says of labels is not understood".to_owned();
    let oid = Oid::from(&OID).map_err(|_| unclear())?;
    let Some(extension) = certificate.get_extension_unique(&oid).map_err(|_| unclear())? else { return Ok(Limits::default()) };
    let (rest, text) = Utf8String::from_der(extension.value).map_err(|_| unclear())?;
    let limits: Limits = serde_json::from_str(&text.string()).map_err(|_| unclear())?;
    // One that says nothing would be as good as none.
    if rest.is_empty() && !limits.is_none() { Ok(limits) } else { Err(unclear()) }
}

/// Whether a certificate says what it was to say: who signs may be another program.
pub(super) fn are_said(limits: &Limits, issued: &Issued) -> Result<(), String> {
    if limits.is_none() {
        return Ok(());
    }
    let leaf = issued.chain.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let said = leaf.and_then(|(_, leaf)| read(&leaf).ok());
    if said.as_ref() == Some(limits) {
        return Ok(());
    }
    Err(format!("who signs leaves out of the certificate that its bearer is limited to labels {limits}; it is not given"))
}
