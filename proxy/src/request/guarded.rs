/// Who may do what.
mod access;
/// The same, of a request that has passed.
pub(super) mod again;
/// A service that is asked.
mod external;
/// Tokens.
mod token;

use std::sync::Arc;

use crate::codec::{Body, Informational};
use crate::config::filter::{FilterKind, FilterOverrides};
use crate::config::route::{Route, RouteAction, RouteTable, VirtualHost};
use crate::filter;
use crate::reply::LocalReply;
use crate::request::live::Live;
use crate::request::{Connection, Inner, Stop, select_in, standing};
use crate::runtime::Generation;
use crate::runtime::policy::{FilterStats, Guards, HttpGuard};

/// Where a request goes, as far as that is known while filters run.
pub(super) struct Way<'a> {
    table: Option<&'a Arc<RouteTable>>,
    selected: Result<(), Stop>,
}

impl<'a> Way<'a> {
    /// The first choice of a route.
    pub(super) fn choose(inner: &Inner, live: &mut Live, table: Option<&'a Arc<RouteTable>>) -> Self {
        Self { table, selected: select_in(inner, live, table) }
    }

    /// A filter has changed what routes are chosen by.
    fn choose_again(&mut self, inner: &Inner, live: &mut Live) {
        live.info.virtual_host = None;
        live.info.route = None;
        self.selected = select_in(inner, live, self.table);
        if live.asked.is_none() {
            live.asked = standing::asked(inner, live);
        }
    }

    /// Why the request goes nowhere, if so.
    pub(super) fn end(self) -> Result<(), Stop> {
        self.selected
    }
}

/// A filter that has to wait, and those behind it.
pub(super) struct Waiting {
    guards: Arc<Guards>,
    at: usize,
}

/// What a filter that waits works with.
pub(super) struct Asking<'a> {
    pub(super) connection: &'a Connection,
    pub(super) generation: &'a Arc<Generation>,
    pub(super) informational: &'a Informational,
    /// The request's body. What is read of it is put back.
    pub(super) body: &'a mut Body,
    /// All of it was read.
    pub(super) is_read: bool,
    /// What only filters say is not said by the client any more.
    pub(super) is_clean: bool,
}

/// Runs the filters of the listener, as they are now, with the settings of the request's route, until one has to wait.
pub(super) fn pass(inner: &Inner, live: &mut Live, way: &mut Way<'_>) -> Result<Option<Waiting>, Stop> {
    let guards = inner.policy.current();
    let at = run(inner, live, way, (&guards, 0))?;
    Ok(at.map(|at| Waiting { guards: arc_swap::Guard::into_inner(guards), at }))
}

/// Runs filters that have to wait, and those behind them.
pub(super) async fn wait(asking: &mut Asking<'_>, live: &mut Live, way: &mut Way<'_>, waiting: Waiting) -> Result<(), Stop> {
    let Waiting { guards, at } = waiting;
    let mut next = Some(at);
    while let Some(at) = next {
        let Some(guard) = guards.http.get(at) else { return Ok(()) };
        let passed = ask(asking, live, guard).await;
        if asking.is_read && passed.is_err() {
            // What is answered now does not come too early.
            live.body_pending = false;
        }
        if passed? {
            way.choose_again(&asking.connection.0, live);
        }
        again::passed(live, &guard.filter);
        next = run(&asking.connection.0, live, way, (&guards, at.saturating_add(1)))?;
    }
    Ok(())
}

async fn ask(asking: &mut Asking<'_>, live: &mut Live, guard: &HttpGuard) -> Result<bool, Stop> {
    let levels = Levels::of(live);
    match (&guard.filter.kind, &guard.stats) {
        (FilterKind::External(filter), FilterStats::External(stats)) => {
            let Some(settings) = external::settings(&guard.filter.name, levels.iter()) else { return Ok(false) };
            external::check(asking, live, &external::Check { filter, stats, settings }).await
        }
        (FilterKind::Jwt(tokens), FilterStats::Jwt(fetched)) => {
            let said = filter::kind(&guard.filter, levels.iter()).and_then(|(_, said)| said);
            let verified = token::verify_with_keys(asking, live, (tokens, fetched), said).await?;
            Ok(verified.clears_route(tokens))
        }
        _ => Ok(false),
    }
}

/// The place of the first filter that has to wait.
fn run(inner: &Inner, live: &mut Live, way: &mut Way<'_>, (guards, from): (&Guards, usize)) -> Result<Option<usize>, Stop> {
    for (at, guard) in guards.http.iter().enumerate().skip(from) {
        let levels = Levels::of(live);
        match filter::kind(&guard.filter, levels.iter()) {
            None => {}
            Some((FilterKind::Access(access), _)) => access::allows(live, access, guard)?,
            Some((FilterKind::Jwt(tokens), said)) => {
                let fetched = if let FilterStats::Jwt(fetched) = &guard.stats { fetched.as_slice() } else { &[] };
                match token::verify(live, tokens, said, token::Source { fetched, has_waited: false })? {
                    token::Passed::NeedsKeys(_) => return Ok(Some(at)),
                    token::Passed::Verified(verified) if verified.clears_route(tokens) => way.choose_again(inner, live),
                    token::Passed::Verified(_) => {}
                }
                again::passed(live, &guard.filter);
            }
            Some((FilterKind::External(_), _)) => return Ok(Some(at)),
        }
    }
    Ok(None)
}

/// The route of a request, its virtual host and its table.
pub(super) struct Levels {
    route: Option<Arc<Route>>,
    host: Option<Arc<VirtualHost>>,
    table: Option<Arc<RouteTable>>,
}

impl Levels {
    pub(super) fn of(live: &Live) -> Self {
        let route = live.info.route.clone();
        let host = route.as_ref().and(live.info.virtual_host.clone());
        let table = route.as_ref().and(live.table.clone());
        Self { route, host, table }
    }

    /// What they say of filters, the most specific first.
    fn iter(&self) -> impl Iterator<Item = &FilterOverrides> {
        let (route, host) = (self.route.as_ref().map(|route| &route.filters), self.host.as_ref().map(|host| &host.filters));
        [route, host, self.table.as_ref().map(|table| &table.filters)].into_iter().flatten()
    }
}

/// Of a request that was let in and waits for its answer.
pub(super) fn forbidden(live: &mut Live, denied: LocalReply) -> LocalReply {
    live.body_pending = live.request_ended().is_none();
    if let Some(cluster) = live.cluster.as_ref().filter(|_| live.info.upstream.request_began.is_some()) {
        cluster.stats().upstream_rq_tx_reset.inc();
    }
    routed(live, denied)
}

/// As Envoy: with the headers that the route adds to answers of its cluster.
fn routed(live: &Live, reply: LocalReply) -> LocalReply {
    let forwards = live.info.route.as_deref().is_some_and(|route| matches!(route.action, RouteAction::Forward(_)));
    if forwards { reply.routed() } else { reply }
}
