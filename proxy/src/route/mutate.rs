use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

use crate::config::headers::{HeaderAction, HeaderMutations, HeaderSet, HeaderTarget};
use crate::config::route::{Route, RouteTable, VirtualHost, WeightedCluster};
use crate::exchange::{RequestHead, StreamInfo};
use crate::route::header_value;
use crate::telemetry::substitution::{self, Exchange};

/// Whose mutations apply; a request that found no route has fewer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Levels<'a> {
    /// The table.
    pub table: Option<&'a RouteTable>,
    /// The virtual host.
    pub virtual_host: Option<&'a VirtualHost>,
    /// The route.
    pub route: Option<&'a Route>,
    /// The part of a split.
    pub weighted: Option<&'a WeightedCluster>,
}

impl Levels<'_> {
    /// In the order of application: the last one wins an overwrite. That is the least specific, unless the table says otherwise.
    /// The part of a split comes before all of these.
    fn in_order<'a>(&'a self, of: [Option<&'a HeaderMutations>; 3]) -> impl Iterator<Item = &'a HeaderMutations> {
        let [route, virtual_host, table] = of;
        let most_specific_last = self.table.is_some_and(|table| table.most_specific_mutations_win);
        let order = if most_specific_last { [table, virtual_host, route] } else { [route, virtual_host, table] };
        order.into_iter().flatten()
    }
}

/// What formats are evaluated with.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The exchange so far.
    pub info: &'a StreamInfo,
    /// Name of this machine.
    pub hostname: &'a str,
}

/// Mutates a request: before [`crate::route::action::rewrite`], so formats see path and host as they were.
pub fn request(levels: &Levels<'_>, source: Source<'_>, request: &mut RequestHead) {
    if let Some(weighted) = levels.weighted {
        apply_to_request(&weighted.request_headers, source, request);
        // Envoy: without marks, and the route's own rewrite comes later and wins.
        if let Some(host) = weighted.host_rewrite.as_ref().filter(|host| !host.is_empty()) {
            request.authority = host.clone();
        }
    }
    let of_route = levels.route.map(|route| &route.request_headers);
    let of_host = levels.virtual_host.map(|host| &host.request_headers);
    let of_table = levels.table.map(|table| &table.request_headers);
    for mutations in levels.in_order([of_route, of_host, of_table]) {
        apply_to_request(mutations, source, request);
    }
}

/// Mutates a response. `request` is the request as it was sent on.
pub fn response(levels: &Levels<'_>, source: Source<'_>, request: &RequestHead, response: &mut HeaderMap) {
    if let Some(weighted) = levels.weighted {
        apply(&weighted.response_headers, source, request, response);
    }
    let of_route = levels.route.map(|route| &route.response_headers);
    let of_host = levels.virtual_host.map(|host| &host.response_headers);
    let of_table = levels.table.map(|table| &table.response_headers);
    for mutations in levels.in_order([of_route, of_host, of_table]) {
        apply(mutations, source, request, response);
    }
}

fn apply_to_request(mutations: &HeaderMutations, source: Source<'_>, request: &mut RequestHead) {
    if mutations.is_empty() {
        return;
    }
    remove(mutations, &mut request.headers);
    let exchange = Exchange { request: Some(request), ..Exchange::of_connection(source.info, source.hostname) };
    let changes = evaluate(mutations, &exchange, &request.headers);
    write(changes, &mut request.headers);
}

/// Applies one set of mutations to a response.
pub fn apply(mutations: &HeaderMutations, source: Source<'_>, request: &RequestHead, response: &mut HeaderMap) {
    if mutations.is_empty() {
        return;
    }
    remove(mutations, response);
    let exchange = Exchange { request: Some(request), response: Some(response), ..Exchange::of_connection(source.info, source.hostname) };
    let changes = evaluate(mutations, &exchange, response);
    write(changes, response);
}

fn remove(mutations: &HeaderMutations, headers: &mut HeaderMap) {
    for name in &mutations.remove {
        headers.remove(name);
    }
}

type Changes<'a> = SmallVec<[(&'a HeaderSet, HeaderValue); 4]>;

/// All values of a level are evaluated before any is written, so none sees another; what is there counts likewise.
fn evaluate<'a>(mutations: &'a HeaderMutations, exchange: &Exchange<'_>, headers: &HeaderMap) -> Changes<'a> {
    let mut changes = Changes::new();
    for set in &mutations.set {
        let HeaderTarget::Field(name) = &set.target;
        let skipped = match set.action {
            HeaderAction::AddIfAbsent => headers.contains_key(name),
            HeaderAction::OverwriteIfExists => !headers.contains_key(name),
            HeaderAction::Append | HeaderAction::OverwriteOrAdd => false,
        };
        if skipped {
            continue;
        }
        let mut value = Vec::new();
        substitution::write_bytes(&set.value, exchange, &mut value, "");
        if !value.is_empty() || set.keep_empty {
            changes.push((set, header_value(&value)));
        }
    }
    changes
}

/// Envoy: first what overwrites, then what adds.
fn write(changes: Changes<'_>, headers: &mut HeaderMap) {
    let overwrites = |set: &HeaderSet| matches!(set.action, HeaderAction::OverwriteOrAdd | HeaderAction::OverwriteIfExists);
    for (set, value) in changes.iter().filter(|(set, _)| overwrites(set)) {
        let HeaderTarget::Field(name) = &set.target;
        headers.insert(name, value.clone());
    }
    for (set, value) in changes.into_iter().filter(|(set, _)| !overwrites(set)) {
        let HeaderTarget::Field(name) = &set.target;
        headers.append(name, value);
    }
}
