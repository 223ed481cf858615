//! The kinds of objects that Ninon knows.

use std::fmt;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Core `Service`.
    Service,
    /// `discovery.k8s.io` `EndpointSlice`.
    EndpointSlice,
    /// Gateway API `HTTPRoute`.
    HttpRoute,
    /// Gateway API `GRPCRoute`.
    GrpcRoute,
    /// Gateway API `TCPRoute`.
    TcpRoute,
    /// Gateway API `TLSRoute`.
    TlsRoute,
    /// Gateway API `ReferenceGrant`.
    ReferenceGrant,
    /// Ninon `Workload`.
    Workload,
    /// Ninon `TrafficPolicy`.
    TrafficPolicy,
    /// Ninon `ExternalService`.
    ExternalService,
    /// Ninon `PeerAuthentication`.
    PeerAuthentication,
    /// Ninon `RequestAuthentication`.
    RequestAuthentication,
    /// Ninon `AuthorizationPolicy`.
    AuthorizationPolicy,
    /// Ninon `MeshConfig`; there is one, and it has no namespace.
    MeshConfig,
}

/// How a kind is written.
#[derive(Debug)]
struct Words {
    group: &'static str,
    /// The one that is written; others may be read.
    versions: &'static [&'static str],
    kind: &'static str,
    singular: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
}

const GATEWAY: &str = "gateway.networking.k8s.io";
const NINON: &str = "ninon.dev";
/// Whose words three of our kinds have: what is written for it is read as it is.
const ISTIO: (&str, [&str; 2]) = ("security.istio.io", ["v1", "v1beta1"]);

impl Kind {
    /// Every one.
    pub const ALL: [Self; 14] = [
        Self::Service,
        Self::EndpointSlice,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TcpRoute,
        Self::TlsRoute,
        Self::ReferenceGrant,
        Self::Workload,
        Self::TrafficPolicy,
        Self::ExternalService,
        Self::PeerAuthentication,
        Self::RequestAuthentication,
        Self::AuthorizationPolicy,
        Self::MeshConfig,
    ];

    const fn words(self) -> Words {
        match self {
            Self::Service => words("", &["v1"], "Service", "service", "services", &["svc"]),
            Self::EndpointSlice => words("discovery.k8s.io", &["v1"], "EndpointSlice", "endpointslice", "endpointslices", &[]),
            Self::HttpRoute => words(GATEWAY, &["v1", "v1beta1"], "HTTPRoute", "httproute", "httproutes", &[]),
            Self::GrpcRoute => words(GATEWAY, &["v1"], "GRPCRoute", "grpcroute", "grpcroutes", &[]),
            Self::TcpRoute => words(GATEWAY, &["v1alpha2"], "TCPRoute", "tcproute", "tcproutes", &[]),
            Self::TlsRoute => words(GATEWAY, &["v1", "v1alpha3", "v1alpha2"], "TLSRoute", "tlsroute", "tlsroutes", &[]),
            Self::ReferenceGrant => {
                words(GATEWAY, &["v1", "v1beta1"], "ReferenceGrant", "referencegrant", "referencegrants", &["refgrant"])
            }
            Self::Workload => words(NINON, &["v1alpha1"], "Workload", "workload", "workloads", &["wl"]),
            Self::TrafficPolicy => words(NINON, &["v1alpha1"], "TrafficPolicy", "trafficpolicy", "trafficpolicies", &["tp"]),
            Self::ExternalService => words(NINON, &["v1alpha1"], "ExternalService", "externalservice", "externalservices", &["es"]),
            Self::PeerAuthentication => {
                words(NINON, &["v1alpha1"], "PeerAuthentication", "peerauthentication", "peerauthentications", &["pa"])
            }
            Self::RequestAuthentication => {
                words(NINON, &["v1alpha1"], "RequestAuthentication", "requestauthentication", "requestauthentications", &["ra"])
            }
            Self::AuthorizationPolicy => {
                words(NINON, &["v1alpha1"], "AuthorizationPolicy", "authorizationpolicy", "authorizationpolicies", &["ap"])
            }
            Self::MeshConfig => Words { namespaced: false, ..words(NINON, &["v1alpha1"], "MeshConfig", "meshconfig", "meshconfigs", &[]) },
        }
    }

    /// As in `kind:`.
    pub const fn as_str(self) -> &'static str {
        self.words().kind
    }

    /// As in a URL.
    pub const fn plural(self) -> &'static str {
        self.words().plural
    }

    /// Other words for it on a command line: singular and short forms.
    pub fn nicknames(self) -> impl Iterator<Item = &'static str> {
        let words = self.words();
        std::iter::once(words.singular).chain(words.short.iter().copied())
    }

    /// The group, empty for core kinds.
    pub const fn group(self) -> &'static str {
        self.words().group
    }

    /// As in `apiVersion:` of what is written.
    pub fn api_version(self) -> String {
        let words = self.words();
        let version = words.versions.first().copied().unwrap_or_default();
        if words.group.is_empty() { version.to_owned() } else { format!("{}/{version}", words.group) }
    }

    /// Whether its objects live in namespaces.
    pub const fn is_namespaced(self) -> bool {
        self.words().namespaced
    }

    /// The kind that a document names, if it is known.
    pub fn of_document(api_version: &str, kind: &str) -> Option<Self> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::ALL.into_iter().find(|known| {
            let words = known.words();
            let is_istios = matches!(known, Self::PeerAuthentication | Self::RequestAuthentication | Self::AuthorizationPolicy)
                && group == ISTIO.0
                && ISTIO.1.contains(&version);
            words.kind == kind && (is_istios || (words.group == group && words.versions.contains(&version)))
        })
    }

    /// The kind that is meant by a word in a URL or on a command line: plural, singular, short, in any case.
    pub fn of_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Self::ALL.into_iter().find(|known| known.plural() == word || known.nicknames().any(|nickname| nickname == word))
    }
}

const fn words(
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
    singular: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
) -> Words {
    Words { group, versions, kind, singular, plural, short, namespaced: true }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_names_its_kind_by_group_version_and_kind() {
        assert_eq!(Kind::of_document("v1", "Service"), Some(Kind::Service));
        assert_eq!(Kind::of_document("gateway.networking.k8s.io/v1beta1", "HTTPRoute"), Some(Kind::HttpRoute));
        assert_eq!(Kind::of_document("gateway.networking.k8s.io/v1", "Service"), None);
        assert_eq!(Kind::of_document("serving.knative.dev/v1", "Service"), None);
        assert_eq!(Kind::of_document("security.istio.io/v1", "AuthorizationPolicy"), Some(Kind::AuthorizationPolicy));
        assert_eq!(Kind::of_document("security.istio.io/v1beta1", "PeerAuthentication"), Some(Kind::PeerAuthentication));
        assert_eq!(Kind::of_document("security.istio.io/v1", "RequestAuthentication"), Some(Kind::RequestAuthentication));
        assert_eq!(Kind::of_document("security.istio.io/v1", "Sidecar"), None);
        assert_eq!(Kind::of_document("security.istio.io/v1", "Workload"), None);
        for kind in Kind::ALL {
            assert_eq!(Kind::of_document(&kind.api_version(), kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn a_word_is_plural_singular_or_short_in_any_case() {
        for word in ["services", "Service", "svc"] {
            assert_eq!(Kind::of_word(word), Some(Kind::Service), "{word}");
        }
        assert_eq!(Kind::of_word("HTTPRoute"), Some(Kind::HttpRoute));
        assert_eq!(Kind::of_word("pods"), None);
    }
}
