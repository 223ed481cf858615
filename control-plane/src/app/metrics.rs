//! Metrics in Prometheus's text format 0.0.4.

use std::fmt::{Display, Write as _};

use crate::app::world::Figures;
use crate::proxies::Proxies;
use crate::proxies::counters::{TIMES, TypeFigures};
use crate::proxies::status::Dialect;
use crate::registration::book::Kept;
use crate::registration::record::State;
use crate::snapshot::kind::Kind;

/// All of them.
pub(super) fn text(proxies: &Proxies, world: Figures, registered: &Kept) -> String {
    let figures = proxies.counters.read();
    let mut text = Text::default();
    let by_dialect = |values: [u64; 2]| [Dialect::Sotw, Dialect::Delta].map(Dialect::name).into_iter().zip(values);
    text.family("ninon_proxies", "gauge", "Proxies that are connected, by the variant of the protocol.");
    for (dialect, value) in by_dialect(figures.streams) {
        text.line("ninon_proxies", &[("protocol", dialect)], value);
    }
    text.family("ninon_streams_total", "counter", "Streams of proxies that were opened.");
    for (dialect, value) in by_dialect(figures.opened) {
        text.line("ninon_streams_total", &[("protocol", dialect)], value);
    }
    text.one("ninon_streams_refused_total", "counter", "Streams that were ended for what the client is or did.", figures.refused_streams);
    text.one("ninon_xds_requests_total", "counter", "Requests of proxies.", figures.requests);
    text.one("ninon_xds_sent_bytes_total", "counter", "Bytes of answers to proxies.", figures.bytes);
    let mut by_type = |name: &str, help: &str, value: fn(&TypeFigures) -> u64| {
        text.family(name, "counter", help);
        for (kind, figures) in Kind::ALL.into_iter().zip(&figures.types) {
            text.line(name, &[("type", &kind.to_string())], value(figures));
        }
    };
    by_type("ninon_xds_responses_total", "Answers to proxies, by type.", |figures| figures.answers);
    by_type("ninon_xds_resources_sent_total", "Resources in them.", |figures| figures.resources);
    by_type("ninon_xds_resources_removed_total", "Names in them that are gone.", |figures| figures.removals);
    by_type("ninon_xds_nacks_total", "Answers that a proxy refused.", |figures| figures.refusals);
    let name = "ninon_xds_convergence_seconds";
    text.family(name, "histogram", "From a snapshot to its acknowledgement by a proxy.");
    let (all, bounded) = figures.times.split_last().map_or((0, [].as_slice()), |(all, bounded)| (*all, bounded));
    for (most, count) in TIMES.iter().zip(bounded) {
        text.line("ninon_xds_convergence_seconds_bucket", &[("le", &most.to_string())], count);
    }
    text.line("ninon_xds_convergence_seconds_bucket", &[("le", "+Inf")], all);
    text.line("ninon_xds_convergence_seconds_sum", &[], figures.time_sum.as_secs_f64());
    text.line("ninon_xds_convergence_seconds_count", &[], all);
    text.one("ninon_object_changes_total", "counter", "Changes of objects.", world.changes);
    text.one("ninon_pushes_total", "counter", "How often the proxies' resources were made anew.", world.pushes);
    text.one("ninon_push_seconds_total", "counter", "How long that took.", world.time.as_secs_f64());
    text.one("ninon_views", "gauge", "Different sets of resources that connected proxies see.", world.views);
    let name = "ninon_registrations";
    text.family(name, "gauge", "Workloads that their sidecars have registered, by how far they are.");
    for state in [State::Joining, State::Serving, State::Draining] {
        let count = registered.values().filter(|(record, _)| record.state == state).count();
        text.line(name, &[("state", state.as_str())], count);
    }
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }

    /// Labels' values are of this program, and need no quoting.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.put(format_args!("{name}{labels} {value}\n"));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // A text takes everything.
        let _written = self.0.write_fmt(text).is_ok();
    }
}
