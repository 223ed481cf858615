use std::sync::Arc;

use crate::config::route::{Route, RouteTable};
use crate::exchange::RequestHead;
use crate::route::matches::{self, Mismatch};
use crate::route::{MatchContext, Selection, select};

/// Why a request is routed as it is.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// What happens to it.
    pub selection: Selection<'a>,
    /// The routes that were looked at, in order; the last one fits, if any does.
    pub tried: Vec<Tried<'a>>,
}

/// A route that was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// Its place in the virtual host.
    pub index: usize,
    /// The route.
    pub route: &'a Arc<Route>,
    /// What does not fit; `None`: it is taken.
    pub mismatch: Option<Mismatch<'a>>,
}

/// What [`select`] answers, and why it did not take the routes before.
pub fn explain<'a>(table: &'a RouteTable, request: &RequestHead, context: &MatchContext<'_>) -> Explanation<'a> {
    let selection = select(table, request, context);
    let mut tried = Vec::new();
    if let Selection::Route { virtual_host, .. } | Selection::NoRoute { virtual_host } = selection {
        for (index, route) in virtual_host.routes.iter().enumerate() {
            let mismatch = matches::first_mismatch(&route.matches, request, context);
            tried.push(Tried { index, route, mismatch });
            if mismatch.is_none() {
                break;
            }
        }
    }
    Explanation { selection, tried }
}

/// One line for each route, and what happens in the end.
impl std::fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for tried in &self.tried {
            write!(f, "route {} {:?}: ", tried.index, tried.route.name)?;
            match tried.mismatch {
                None => writeln!(f, "fits")?,
                Some(mismatch) => writeln!(f, "{mismatch}")?,
            }
        }
        match self.selection {
            Selection::Route { virtual_host, route } => write!(f, "virtual host {:?}, route {:?}", virtual_host.name, route.name),
            Selection::RedirectToTls { virtual_host } => write!(f, "virtual host {:?} redirects to https", virtual_host.name),
            Selection::NoVirtualHost => f.write_str("no virtual host serves this host"),
            Selection::NoRoute { virtual_host } => write!(f, "no route of virtual host {:?} fits", virtual_host.name),
        }
    }
}
