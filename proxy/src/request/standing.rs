//! Tunnels, gRPC and event streams outlive the decision that let them in: each lasts as long as it would be let in again, and as the
//! server behind it is accepted; tunnels, also as both certificates hold.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::{oneshot, watch};

use crate::codec::{Body, BodyError, Message};
use crate::config::address::Address;
use crate::config::route::RouteAction;
use crate::connect::bond::Bond;
use crate::connect::pool::ConnectionFacts;
use crate::exchange::RequestHead;
use crate::forward::timeout::Activity;
use crate::reply::LocalReply;
use crate::request::attempt::tunnel;
use crate::request::guarded::again::Views;
use crate::request::live::Live;
use crate::request::{Connection, Inner};
use crate::runtime::policy::Guards;
use crate::task::spawn_bounded_by_connection;

/// What calls say that they are.
const CALLS: [&[u8]; 2] = [b"application/grpc", b"application/connect+"];
/// Who wants events says that.
const EVENTS: &[u8] = b"text/event-stream";

/// The connection behind it.
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

/// A request that may go on for long.
pub(super) struct Asked {
    /// What rules are asked about.
    pub(super) views: Views,
    /// The rules that let it in.
    guards: Arc<Guards>,
    /// Why it has to end, for both of its directions, where it may become a tunnel. A stream has one answer, and ends with it.
    end: Option<watch::Sender<Why>>,
    is_stream: bool,
}

type Why = Option<Cow<'static, str>>;

/// Of a request whose filters run next.
pub(super) fn asked(inner: &Inner, live: &Live) -> Option<Rc<Asked>> {
    let head = &live.head;
    let ends_here = || match live.info.route.as_deref().map(|route| &route.action) {
        Some(RouteAction::Forward(forward)) => tunnel::ends_here(forward, head),
        Some(RouteAction::Redirect(_) | RouteAction::Direct(_) | RouteAction::NonForwarding) | None => false,
    };
    let tunnel =
        head.upgrade.is_some() || head.path.is_none() || head.method == Method::CONNECT || head.method == Method::POST && ends_here();
    let end = tunnel.then(|| watch::Sender::new(None));
    let is_stream = is_stream(head);
    (tunnel || is_stream).then(|| Rc::new(Asked { views: Views::begin(live), guards: inner.policy.current_full(), end, is_stream }))
}

/// gRPC, also as gRPC-Web or streams of Connect, or a client that takes events as they come (HTML, "Server-sent events").
fn is_stream(head: &RequestHead) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let takes_events = |accept: &HeaderValue| accept.as_bytes().windows(EVENTS.len()).any(|part| part.eq_ignore_ascii_case(EVENTS));
    CALLS.iter().any(|call| kind.starts_with(call)) || head.headers.get_all(ACCEPT).iter().any(takes_events)
}

/// The client's direction, which may go on when the server's has ended.
pub(super) fn upload(asked: Option<&Asked>, body: Body) -> Body {
    match asked.and_then(|asked| asked.end.as_ref()) {
        Some(end) if !body.is_end_stream() => Body::Boxed(Box::pin(Upload { body, cut: Cut::of(end) })),
        _ => body,
    }
}

/// Waits for the answer to begin, as long as the request would be let in again.
pub(super) async fn answered<T>(
    connection: &Connection,
    standing: Option<(Rc<Asked>, Address)>,
    mut sent: Pin<&mut impl Future<Output = T>>,
) -> Result<T, LocalReply> {
    let forbidden = |(asked, remote): (Rc<Asked>, Address)| async move { asked.forbidden(&connection.0, &remote).await };
    let mut forbidden = standing.map(|standing| Box::pin(forbidden(standing)));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = sent.as_mut().poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        forbidden.as_mut().map_or(Poll::Pending, |forbidden| forbidden.as_mut().poll(cx)).map(Err)
    })
    .await
}

impl Asked {
    /// Waits until it would not be let in; says what it would be told.
    async fn forbidden(&self, inner: &Inner, remote: &Address) -> LocalReply {
        // Before it is decided, so that no change goes by in between.
        let mut watch = inner.policy.watch();
        loop {
            let now = inner.policy.current_full();
            if !Arc::ptr_eq(&now, &self.guards)
                && let Some(denied) = self.views.denied(&now, &inner.info, remote)
            {
                return denied;
            }
            watch.changed().await;
        }
    }
}

/// Of an answer that is a tunnel from now on: what the server's direction ends by.
pub(super) fn tunnel(live: &mut Live) -> Option<Cut> {
    let asked = live.asked.take_if(|_| live.upgraded.is_some() || matches!(live.tied, Some(Tied::Own(_))))?;
    Some(stand(live, &asked))
}

/// Of an answer that has not ended at once: what it ends by; nothing where it is not a stream's.
pub(super) fn stream(live: &mut Live) -> Option<Cut> {
    let asked = live.asked.take_if(|asked| asked.is_stream)?;
    Some(stand(live, &asked))
}

fn stand(live: &mut Live, asked: &Rc<Asked>) -> Cut {
    let asked = Rc::clone(asked);
    let tied = live.tied.take();
    let inner = Rc::clone(&live.connection.0);
    let remote = live.info.remote.clone();
    let (idle, activity) = (live.deadlines.idle, live.deadlines.activity.clone());
    let end = asked.end.clone().unwrap_or_default();
    let mut cut = Cut::of(&end);
    let (answer, ended) = oneshot::channel();
    cut.answer = Some(answer);
    spawn_bounded_by_connection(async move {
        let bond = tied.as_ref().and_then(Tied::bond);
        let why: Cow<'static, str> = tokio::select! {
            biased;
            () = end.closed() => return,
            denied = asked.forbidden(&inner, &remote) => denied.details,
            () = inner.worker.refuses(bond) => "upstream_certificate_revoked".into(),
            () = expired(tied.as_ref()) => "upstream_certificate_expired".into(),
            () = idles(ended, idle, &activity) => "stream_idle_timeout".into(),
        };
        tracing::debug!(client = %remote, %why, "a request may not go on");
        end.send_replace(Some(why));
    });
    cut
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
