//! Tunnels outlive the decision that let them in: each lasts as long as it would be let in again, and as the server behind it is
//! accepted and both certificates hold.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::{oneshot, watch};

use crate::codec::{Body, BodyError, Message};
use crate::config::route::RouteAction;
use crate::connect::bond::Bond;
use crate::connect::pool::ConnectionFacts;
use crate::forward::timeout::Activity;
use crate::request::Inner;
use crate::request::attempt::tunnel;
use crate::request::guarded::again::Views;
use crate::request::live::Live;
use crate::runtime::policy::Guards;
use crate::task::spawn_bounded_by_connection;

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

/// A request that may become a tunnel.
pub(super) struct Asked {
    /// What rules are asked about.
    pub(super) views: Views,
    /// The rules that let it in.
    guards: Arc<Guards>,
    /// Why it has to end, for both of its directions; dropped where it is no tunnel.
    end: watch::Sender<Option<Cow<'static, str>>>,
}

/// Of a request whose filters run next.
pub(super) fn asked(inner: &Inner, live: &Live) -> Option<Box<Asked>> {
    let head = &live.head;
    let ends_here = || match live.info.route.as_deref().map(|route| &route.action) {
        Some(RouteAction::Forward(forward)) => tunnel::ends_here(forward, head),
        Some(RouteAction::Redirect(_) | RouteAction::Direct(_) | RouteAction::NonForwarding) | None => false,
    };
    let may = head.upgrade.is_some() || head.path.is_none() || head.method == Method::CONNECT || head.method == Method::POST && ends_here();
    may.then(|| Box::new(Asked { views: Views::begin(live), guards: inner.policy.current_full(), end: watch::Sender::new(None) }))
}

/// The client's direction, which may go on when the server's has ended.
pub(super) fn upload(asked: Option<&Asked>, body: Body) -> Body {
    match asked {
        Some(asked) if !body.is_end_stream() => Body::Boxed(Box::pin(Upload { body, cut: Cut::of(&asked.end) })),
        _ => body,
    }
}

/// Of an answer that begins: what the server's direction ends by; nothing where it is no tunnel.
pub(super) fn watch(live: &mut Live) -> Option<Cut> {
    let (asked, tied) = (live.asked.take()?, live.tied.take());
    let is_tunnel = live.upgraded.is_some() || matches!(tied, Some(Tied::Own(_)));
    if !is_tunnel {
        return None;
    }
    let inner = Rc::clone(&live.connection.0);
    let remote = live.info.remote.clone();
    let (idle, activity) = (live.deadlines.idle, live.deadlines.activity.clone());
    let mut cut = Cut::of(&asked.end);
    let (answer, ended) = oneshot::channel();
    cut.answer = Some(answer);
    spawn_bounded_by_connection(async move {
        let Asked { views, guards, end } = *asked;
        let forbidden = async {
            // Before it is decided, so that no change goes by in between.
            let mut watch = inner.policy.watch();
            loop {
                let now = inner.policy.current_full();
                if !Arc::ptr_eq(&now, &guards)
                    && let Some(details) = views.denied(&now, &inner.info, &remote)
                {
                    return details;
                }
                watch.changed().await;
            }
        };
        let bond = tied.as_ref().and_then(Tied::bond);
        let why: Cow<'static, str> = tokio::select! {
            biased;
            () = end.closed() => return,
            details = forbidden => details.into(),
            () = inner.worker.refuses(bond) => "upstream_certificate_revoked".into(),
            () = expired(tied.as_ref()) => "upstream_certificate_expired".into(),
            () = idles(ended, idle, &activity) => "stream_idle_timeout".into(),
        };
        tracing::debug!(client = %remote, %why, "a tunnel may not go on");
        end.send_replace(Some(why));
    });
    Some(cut)
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

/// The client's direction, when the server's has ended: nobody else looks at what is left.
async fn idles(answer: oneshot::Receiver<()>, limit: Option<Duration>, activity: &Activity) {
    let _ended = answer.await.is_err();
    match limit {
        Some(limit) => activity.idle_for(limit).await,
        None => std::future::pending().await,
    }
}

/// Ready when a tunnel has to end, and ever after.
pub(super) struct Cut {
    /// Of the server's direction; its end is told by this.
    answer: Option<oneshot::Sender<()>>,
    wait: Option<Pin<Box<dyn Future<Output = Cow<'static, str>>>>>,
    why: Cow<'static, str>,
}

impl Cut {
    fn of(end: &watch::Sender<Option<Cow<'static, str>>>) -> Self {
        let mut end = end.subscribe();
        let wait = async move {
            match end.wait_for(Option::is_some).await {
                Ok(why) => why.clone().unwrap_or_default(),
                // It is no tunnel.
                Err(_) => std::future::pending().await,
            }
        };
        Self { answer: None, wait: Some(Box::pin(wait)), why: Cow::Borrowed("") }
    }

    /// Why it has to.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<&Cow<'static, str>> {
        if let Some(wait) = &mut self.wait {
            self.why = ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Poll::Ready(&self.why)
    }
}

struct Upload {
    body: Body,
    cut: Cut,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.as_mut().poll_meanwhile(cx) {
            Poll::Ready(error) => Poll::Ready(Some(Err(error))),
            Poll::Pending => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Message for Upload {
    fn poll_meanwhile(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        self.cut.poll(cx).map(|_| BodyError::Disconnected)
    }
}
