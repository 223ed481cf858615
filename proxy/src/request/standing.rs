//! Tunnels outlive the decision that let them in: each lasts as long as it would be let in again, and as the server behind it is
//! accepted and both certificates hold.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;

use http::Method;

use crate::connect::bond::Bond;
use crate::connect::pool::ConnectionFacts;
use crate::exchange::RequestHead;
use crate::exchange::metadata::Metadata;
use crate::filter::access::Subject;
use crate::request::guarded::{Levels, denied};
use crate::request::live::Live;

/// Ends when a tunnel has to, and says why.
pub(super) type Over = Pin<Box<dyn Future<Output = Cow<'static, str>>>>;

/// The connection behind a tunnel.
pub(super) enum Tied {
    /// It is the tunnel's alone.
    Own(Option<Bond>),
    /// It is the pool's.
    Pooled(Rc<ConnectionFacts>),
}

impl Tied {
    fn bond(&self) -> Option<&Bond> {
        match self {
            Self::Own(bond) => bond.as_ref(),
            Self::Pooled(facts) => facts.bond.as_ref(),
        }
    }
}

/// What rules were asked about, of a request that may become a tunnel: its route changes it afterwards.
pub(super) fn asked(live: &Live) -> Option<Box<RequestHead>> {
    let head = &live.head;
    let may = head.upgrade.is_some() || head.path.is_none() || head.method == Method::CONNECT;
    may.then(|| Box::new(head.clone()))
}

/// Of an answer that begins: nothing where it is no tunnel.
pub(super) fn over(live: &mut Live) -> Option<Over> {
    let (head, tied) = (live.asked.take(), live.tied.take());
    let is_tunnel = live.upgraded.is_some() || matches!(tied, Some(Tied::Own(_)));
    if !is_tunnel {
        return None;
    }
    let inner = Rc::clone(&live.connection.0);
    let (remote, metadata, levels) = (live.info.remote.clone(), live.info.metadata.clone(), Levels::of(live));
    Some(Box::pin(async move {
        let forbidden = async {
            let Some(head) = head else { return std::future::pending().await };
            let metadata: Option<&Metadata> = metadata.as_deref();
            let subject = Subject { connection: &inner.info, remote: &remote, metadata, request: Some(&head) };
            // Before it is decided, so that no change goes by in between.
            let mut watch = inner.policy.watch();
            loop {
                if let Some(details) = denied(&inner.policy.current(), &levels, &subject) {
                    tracing::debug!(client = %remote, details, "a tunnel is forbidden from now on");
                    return details;
                }
                watch.changed().await;
            }
        };
        let bond = tied.as_ref().and_then(Tied::bond);
        tokio::select! {
            biased;
            details = forbidden => details.into(),
            () = inner.worker.refuses(bond) => "upstream_certificate_revoked".into(),
            () = expired(tied.as_ref()) => "upstream_certificate_expired".into(),
        }
    }))
}

/// Bytes cannot be told to go, and end with the certificates. What HTTP carries ends as its connection does, which is told.
async fn expired(tied: Option<&Tied>) {
    match tied {
        Some(Tied::Own(Some(bond))) => match bond.until() {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        },
        Some(Tied::Own(None) | Tied::Pooled(_)) | None => std::future::pending().await,
    }
}
