//! Tunnels outlive the decision that let them in: each lasts as long as it would be let in again, and as the server behind it is
//! accepted and both certificates hold.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;

use crate::config::route::RouteAction;
use crate::connect::bond::Bond;
use crate::connect::pool::ConnectionFacts;
use crate::exchange::RequestHead;
use crate::filter::access::Subject;
use crate::request::Inner;
use crate::request::attempt::tunnel;
use crate::request::guarded::{Levels, denied};
use crate::request::live::Live;
use crate::runtime::policy::Guards;

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

/// What rules were asked about, of a request that may become a tunnel: filters change it, and its route does afterwards.
pub(super) struct Asked {
    /// Before any filter.
    before: RequestHead,
    /// Behind all of them.
    after: Option<RequestHead>,
    /// The rules that let it in.
    guards: Arc<Guards>,
}

/// Of a request whose filters run next.
pub(super) fn asked(inner: &Inner, live: &Live) -> Option<Box<Asked>> {
    let head = &live.head;
    let ends_here = || match live.info.route.as_deref().map(|route| &route.action) {
        Some(RouteAction::Forward(forward)) => tunnel::ends_here(forward, head),
        Some(RouteAction::Redirect(_) | RouteAction::Direct(_) | RouteAction::NonForwarding) | None => false,
    };
    let may = head.upgrade.is_some() || head.path.is_none() || head.method == Method::CONNECT || head.method == Method::POST && ends_here();
    may.then(|| Box::new(Asked { before: head.clone(), after: None, guards: inner.policy.current_full() }))
}

/// All filters have let it pass.
pub(super) fn passed(live: &mut Live) {
    if let Some(asked) = &mut live.asked {
        asked.after = Some(live.head.clone());
    }
}

/// Of an answer that begins: nothing where it is no tunnel.
pub(super) fn over(live: &mut Live) -> Option<Over> {
    let (asked, tied) = (live.asked.take(), live.tied.take());
    let is_tunnel = live.upgraded.is_some() || matches!(tied, Some(Tied::Own(_)));
    if !is_tunnel {
        return None;
    }
    let inner = Rc::clone(&live.connection.0);
    let (remote, metadata, levels) = (live.info.remote.clone(), live.info.metadata.clone(), Levels::of(live));
    Some(Box::pin(async move {
        let forbidden = async {
            let Some(Asked { before, after: Some(after), guards }) = asked.map(|asked| *asked) else { return std::future::pending().await };
            let before = Subject { connection: &inner.info, remote: &remote, metadata: None, request: Some(&before) };
            let after = Subject { metadata: metadata.as_deref(), request: Some(&after), ..before };
            // Before it is decided, so that no change goes by in between.
            let mut watch = inner.policy.watch();
            loop {
                let now = inner.policy.current_full();
                if !Arc::ptr_eq(&now, &guards)
                    && let Some(details) = denied(&now, &levels, [&before, &after])
                {
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
