use std::cell::RefCell;
use std::sync::Arc;

use crate::config::address::Address;
use crate::config::filter::{FilterKind, HttpFilter};
use crate::exchange::{ConnectionInfo, Metadata, RequestHead};
use crate::filter;
use crate::filter::access::{Subject, decide};
use crate::reply::LocalReply;
use crate::request::guarded::Levels;
use crate::request::guarded::access::denial;
use crate::request::live::Live;
use crate::runtime::policy::{FilterStats, Guards};

/// A request as filters have seen it, so that rules can be asked about it again.
pub(in crate::request) struct Views {
    /// Before any filter.
    first: View,
    /// Behind each of those that may have changed it, in order.
    behind: RefCell<Vec<(Arc<HttpFilter>, View)>>,
}

struct View {
    head: RequestHead,
    metadata: Option<Box<Metadata>>,
    levels: Levels,
}

impl View {
    fn of(live: &Live) -> Self {
        Self { head: live.head.clone(), metadata: live.info.metadata.clone(), levels: Levels::of(live) }
    }
}

impl Views {
    /// Of a request whose filters run next.
    pub(in crate::request) fn begin(live: &Live) -> Self {
        Self { first: View::of(live), behind: RefCell::default() }
    }

    /// How it is denied. Each is asked about what it would see: filters that change a request are known by their names, and
    /// are not asked again; what new ones of them would change is not known.
    pub(in crate::request) fn denied(&self, guards: &Guards, connection: &ConnectionInfo, remote: &Address) -> Option<LocalReply> {
        let behind = self.behind.borrow();
        let (mut view, mut behind) = (&self.first, behind.as_slice());
        for guard in &guards.http {
            if let Some((FilterKind::Access(access), _)) = filter::kind(&guard.filter, view.levels.iter())
                && let Some(rules) = &access.rules
            {
                let subject = Subject { connection, remote, metadata: view.metadata.as_deref(), request: Some(&view.head) };
                let decision = decide(rules, &subject);
                if !decision.allowed {
                    if let FilterStats::Access(stats) = &guard.stats {
                        stats.count(false);
                    }
                    return Some(denial(&decision));
                }
            }
            if let Some(at) = behind.iter().position(|(filter, _)| filter.name == guard.filter.name)
                && let Some(((_, found), rest)) = behind.get(at..).and_then(<[_]>::split_first)
            {
                (view, behind) = (found, rest);
            }
        }
        None
    }
}

/// A filter that may have changed the request has let it pass.
pub(super) fn passed(live: &mut Live, filter: &Arc<HttpFilter>) {
    if let Some(asked) = &live.asked {
        asked.views.behind.borrow_mut().push((Arc::clone(filter), View::of(live)));
    }
}
