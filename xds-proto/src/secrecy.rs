//! `Debug` for what may hold key material: where it comes from is printed, its content is not.

use std::fmt;

use crate::envoy::config::core::v3::DataSource;
use crate::envoy::config::core::v3::data_source::Specifier;
use crate::spiffe::workload::X509svid;

impl fmt::Debug for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("DataSource");
        shown.field("watched_directory", &self.watched_directory);
        shown.field("specifier", &self.specifier).finish()
    }
}

impl fmt::Debug for Specifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filename(path) => f.debug_tuple("Filename").field(path).finish(),
            Self::EnvironmentVariable(name) => f.debug_tuple("EnvironmentVariable").field(name).finish(),
            Self::InlineBytes(bytes) => write!(f, "InlineBytes({} bytes)", bytes.len()),
            Self::InlineString(text) => write!(f, "InlineString({} bytes)", text.len()),
        }
    }
}

impl fmt::Debug for X509svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svid").field("spiffe_id", &self.spiffe_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_workload_api_is_not_printed() {
        let svid = X509svid { spiffe_id: "spiffe://a.test/b".to_owned(), x509_svid_key: "private".into(), ..X509svid::default() };
        assert_eq!(format!("{svid:?}"), "X509svid { spiffe_id: \"spiffe://a.test/b\", .. }");
    }

    #[test]
    fn a_key_is_not_printed() {
        for specifier in [Specifier::InlineString("private".to_owned()), Specifier::InlineBytes("private".into())] {
            let source = DataSource { specifier: Some(specifier), ..DataSource::default() };
            let shown = format!("{source:?}");
            assert!(shown.contains("(7 bytes)") && !shown.contains("private"), "{shown}");
        }
    }
}
