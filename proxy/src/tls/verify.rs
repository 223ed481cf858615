//! Which peers are accepted. A check that cannot be made is a check that failed.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, DistinguishedName, Error, RootCertStore};

use crate::config::identity::{SanMatch, Trust, Validation};
use crate::tls::accepted::{Accepted, Chain};
use crate::tls::constraints::{self, Constraint};
use crate::tls::names::Usage;
use crate::tls::peer::{ClientCheck, ServerCheck};
use crate::tls::{TlsError, names, peer, pem, spiffe};

/// Checks clients: chain, life time, revocation (of the whole chain or of its leaf only, with lists that have not expired, as Envoy) and names.
pub(super) fn of_clients(
    trust: &Trust,
    validation: &Validation,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if !validation.trust_domains.is_empty() {
        return spiffe::of_clients(trust, validation, provider);
    }
    let (rules, lists) = rules(trust, validation, Usage::Client)?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&rules.roots), Arc::clone(provider))
        .with_crls(lists)
        .enforce_revocation_expiration();
    let builder = if validation.only_leaves { builder.only_check_end_entity_revocation() } else { builder };
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let chain = builder.build().map_err(|error| TlsError::library(&error))?;
    Ok(peer::clients(KnownClients { chain, rules }, provider))
}

/// Checks servers likewise. Which host was asked for decides nothing (as Envoy): who must be there says the configuration.
pub(super) fn of_servers(
    trust: &Trust,
    validation: &Validation,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    if !validation.trust_domains.is_empty() {
        return spiffe::of_servers(trust, validation, provider);
    }
    let (rules, lists) = rules(trust, validation, Usage::Server)?;
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::clone(&rules.roots), Arc::clone(provider))
        .with_crls(lists)
        .enforce_revocation_expiration();
    let builder = if validation.only_leaves { builder.only_check_end_entity_revocation() } else { builder };
    let chain = builder.build().map_err(|error| TlsError::library(&error))?;
    Ok(peer::servers(KnownServers { chain, rules }, provider))
}

fn rules(trust: &Trust, validation: &Validation, usage: Usage) -> Result<(Rules, Vec<CertificateRevocationListDer<'static>>), TlsError> {
    let (roots, constraints) = pem::roots(validation)?;
    let lists = pem::revocation_lists(validation)?;
    let rules = Rules {
        roots,
        constraints,
        names: validation.subject_alt_names.iter().chain(&trust.more_names).cloned().collect(),
        revocable: !lists.is_empty(),
        usage,
        accepted: Accepted::default(),
    };
    Ok((rules, lists))
}

/// What the library's check of the chain leaves to us.
#[derive(Debug)]
struct Rules {
    roots: Arc<RootCertStore>,
    constraints: Vec<Constraint>,
    names: Vec<SanMatch>,
    /// Revocation lists are given.
    revocable: bool,
    usage: Usage,
    accepted: Accepted,
}

impl Rules {
    /// By what the library says of the chain, unless it has been accepted before.
    fn check(&self, chain: Chain<'_>, now: UnixTime, library: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        if self.revocable {
            return self.settle(chain, now, library());
        }
        if self.accepted.holds(&chain, now) {
            return Ok(());
        }
        self.settle(chain, now, library())?;
        self.accepted.keep(&chain);
        Ok(())
    }

    fn settle(&self, chain: Chain<'_>, now: UnixTime, library: Result<(), Error>) -> Result<(), Error> {
        let Chain { leaf, intermediates } = chain;
        match library {
            Err(_) if !self.revocable && self.is_root(leaf) => names::valid(leaf, now, self.usage)?,
            other => other?,
        }
        constraints::hold(&self.constraints, leaf, intermediates)?;
        if self.names.is_empty() {
            return Ok(());
        }
        names::accept(leaf, &self.names).map_err(|error| Error::InvalidCertificate(names::refused(error)))
    }

    /// A trusted authority's own certificate, shown as a leaf: what `openssl req -x509` makes is both. Envoy accepts it, the
    /// library does not. Whoever holds an authority's key could as well issue what he likes.
    fn is_root(&self, certificate: &CertificateDer<'_>) -> bool {
        let mut own = RootCertStore::empty();
        own.add(certificate.clone().into_owned()).is_ok() && own.roots.iter().all(|anchor| self.roots.roots.contains(anchor))
    }
}

/// Accepts every server: a cluster without validation context (as Envoy). The traffic is encrypted, to whoever is there.
pub(super) fn of_nobody(provider: &CryptoProvider) -> Arc<dyn ServerCertVerifier> {
    peer::servers(AllServers, provider)
}

#[derive(Debug)]
struct KnownClients {
    chain: Arc<dyn ClientCertVerifier>,
    rules: Rules,
}

impl ClientCheck for KnownClients {
    fn check(&self, chain: Chain<'_>, now: UnixTime) -> Result<(), Error> {
        let library = || self.chain.verify_client_cert(chain.leaf, chain.intermediates, now).map(|_| ());
        self.rules.check(chain, now, library)
    }

    fn is_required(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn hints(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }
}

#[derive(Debug)]
struct KnownServers {
    chain: Arc<WebPkiServerVerifier>,
    rules: Rules,
}

impl ServerCheck for KnownServers {
    fn check(&self, chain: Chain<'_>, host: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let library = || match self.chain.verify_server_cert(chain.leaf, chain.intermediates, host, &[], now) {
            // The library compares the host last, after all that counts here; tests hold it to that.
            Err(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => Ok(()),
            other => other.map(|_| ()),
        };
        self.rules.check(chain, now, library)
    }
}

#[derive(Debug)]
struct AllServers;

impl ServerCheck for AllServers {
    fn check(&self, _: Chain<'_>, _: &ServerName<'_>, _: UnixTime) -> Result<(), Error> {
        Ok(())
    }
}
