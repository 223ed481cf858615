use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

use crate::config::headers::{HeaderAction, HeaderMutations, HeaderSet, HeaderTarget};
use crate::config::route::{Route, RouteTable, VirtualHost, WeightedCluster};
use crate::exchange::{RequestHead, StreamInfo};
use crate::route::header_value;
use crate::telemetry::substitution::{self, Exchange};

/// Whose mutations apply.
#[derive(Clone, Copy, Debug)]
pub struct Levels<'a> {
    /// The table.
    pub table: &'a RouteTable,
    /// The virtual host.
    pub virtual_host: &'a VirtualHost,
    /// The route.
    pub route: &'a Route,
    /// The part of a split.
    pub weighted: Option<&'a WeightedCluster>,
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
    let mutations = [&levels.route.request_headers, &levels.virtual_host.request_headers, &levels.table.request_headers];
    in_order(levels.table, mutations, |mutations| apply_to_request(mutations, source, request));
}

/// Mutates a response. `request` is the request as it was sent on.
pub fn response(levels: &Levels<'_>, source: Source<'_>, request: &RequestHead, response: &mut HeaderMap) {
    if let Some(weighted) = levels.weighted {
        apply_to_response(&weighted.response_headers, source, request, response);
    }
    let mutations = [&levels.route.response_headers, &levels.virtual_host.response_headers, &levels.table.response_headers];
    in_order(levels.table, mutations, |mutations| apply_to_response(mutations, source, request, response));
}

/// The last one wins an overwrite: the least specific, unless the table says otherwise.
fn in_order(table: &RouteTable, most_specific_first: [&HeaderMutations; 3], mut apply: impl FnMut(&HeaderMutations)) {
    if table.most_specific_mutations_win {
        most_specific_first.into_iter().rev().for_each(&mut apply);
    } else {
        most_specific_first.into_iter().for_each(apply);
    }
}

fn apply_to_request(mutations: &HeaderMutations, source: Source<'_>, request: &mut RequestHead) {
    if mutations.is_empty() {
        return;
    }
    remove(mutations, &mut request.headers);
    let exchange = Exchange {
        info: source.info,
        request: Some(request),
        response: None,
        trailers: None,
        local_reply_body: None,
        hostname: source.hostname,
    };
    let changes = evaluate(mutations, &exchange, &request.headers);
    write(changes, &mut request.headers);
}

/// Applies one set of mutations to a response.
pub fn apply_to_response(mutations: &HeaderMutations, source: Source<'_>, request: &RequestHead, response: &mut HeaderMap) {
    if mutations.is_empty() {
        return;
    }
    remove(mutations, response);
    let exchange = Exchange {
        info: source.info,
        request: Some(request),
        response: Some(response),
        trailers: None,
        local_reply_body: None,
        hostname: source.hostname,
    };
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
