//! Metrics in Prometheus's text format 0.0.4.

use std::fmt::{Display, Write as _};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::app::world::Figures;
use crate::authority::{Authority, counters};
use crate::proxies::Proxies;
use crate::proxies::counters::{TIMES, TypeFigures};
use crate::proxies::load::Load;
use crate::proxies::status::Dialect;
use crate::registration::book::Kept;
use crate::registration::record::State;
use crate::snapshot::kind::Kind;

/// Clusters of which load is told, in the order of their names: each is a series for ever in what reads them.
const MOST_CLUSTERS: usize = 2_000;

/// What the authority does and has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Certificates {
    figures: counters::Figures,
    /// Seconds since 1970.
    root_expires: u64,
}

impl Certificates {
    pub(super) fn of(authority: &Authority) -> Self {
        let expires = authority.trust().current.not_after.duration_since(SystemTime::UNIX_EPOCH);
        Self { figures: authority.counters.read(), root_expires: expires.unwrap_or_default().as_secs() }
    }
}

/// All of them.
pub(super) fn text(proxies: &Proxies, world: Figures, registered: &Kept, certificates: &Certificates) -> String {
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
    let name = "ninon_certificates_issued_total";
    text.family(name, "counter", "Certificates that were given to workloads, by what they were known by.");
    for (proof, count) in counters::PROOFS.into_iter().zip(certificates.figures.issued) {
        text.line(name, &[("by", proof)], count);
    }
    let name = "ninon_certificate_refusals_total";
    text.family(name, "counter", "Requests for certificates that were refused, by the reason.");
    for (reason, count) in counters::REASONS.into_iter().zip(certificates.figures.refused) {
        text.line(name, &[("reason", reason)], count);
    }
    let says = "Certificates that are revoked and may still hold, as proxies are told.";
    text.one("ninon_certificates_revoked", "gauge", says, certificates.figures.revoked);
    let says = "When the root that signs expires, in seconds since 1970.";
    text.one("ninon_root_expiry_timestamp_seconds", "gauge", says, certificates.root_expires);
    load(proxies, &mut text);
    text.0
}

/// What is reported of load. Names of clusters are what reporters say they are, and there is an end to how many of them are told.
fn load(proxies: &Proxies, text: &mut Text) {
    let loads = proxies.loads.list(Instant::now());
    text.one("ninon_load_clusters", "gauge", "Clusters of which load is reported.", loads.len());
    text.one("ninon_load_reports_refused_total", "counter", "Reports of load that there was no room for.", proxies.loads.refused());
    let mut by_cluster = |name: &str, help: &str, value: fn(&Load) -> f64| {
        text.family(name, "gauge", help);
        for load in loads.iter().take(MOST_CLUSTERS) {
            text.line(name, &[("cluster", &quoted(&load.cluster))], value(load));
        }
    };
    by_cluster("ninon_load_requests_per_second", "Requests sent to a cluster, as all reporters say.", |load| load.total.rate);
    by_cluster("ninon_load_failures_per_second", "Those that failed.", |load| load.total.failures);
    by_cluster("ninon_load_reporters", "How many report load of a cluster.", |load| {
        f64::from(u32::try_from(load.total.reporters).unwrap_or(u32::MAX))
    });
}

/// What a label's value may not have as it is.
fn quoted(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
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

    /// Labels' values are [`quoted`], or of this program.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxies::load::{Key, Report, Requests};
    use crate::proxies::node::Locality;

    #[test]
    fn every_metric_is_in_the_documentation() {
        let page = include_str!("../../../docs/control-plane.md");
        let text = text(&Proxies::new(1), Figures::default(), &Kept::new(), &Certificates::default());
        let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let missing: Vec<_> = families.filter(|(name, kind)| !page.contains(&format!("| `{name}` | {kind} |"))).collect();
        assert!(missing.is_empty() && text.contains("# TYPE "), "{missing:?}");
    }

    #[test]
    fn a_name_that_a_reporter_made_up_ends_no_line() {
        let proxies = Proxies::new(1);
        let requests = Requests { issued: 30, failed: 5, ..Requests::default() };
        let localities = vec![(Locality::default(), requests)];
        let report = Report { at: Instant::now(), interval: Duration::from_secs(10), dropped: 0, localities };
        let key = Key { cluster: "a\"} 1\nb\\".to_owned(), reporter: "me".to_owned() };
        proxies.loads.report(key, report);
        let text = text(&proxies, Figures::default(), &Kept::new(), &Certificates::default());
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("ninon_load_")).collect();
        let wanted = [
            "ninon_load_clusters 1",
            "ninon_load_reports_refused_total 0",
            r#"ninon_load_requests_per_second{cluster="a\"} 1\nb\\"} 3"#,
            r#"ninon_load_failures_per_second{cluster="a\"} 1\nb\\"} 0.5"#,
            r#"ninon_load_reporters{cluster="a\"} 1\nb\\"} 1"#,
        ];
        assert_eq!(lines, wanted);
    }
}
