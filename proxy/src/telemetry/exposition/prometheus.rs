//! Source: prometheus.io, "Exposition formats", text format 0.0.4. What Envoy makes labels of is listed in its
//! `well_known_names.cc`: the name of a cluster and the like, a response's code, the class of its code.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::telemetry::exposition::quantiles::millis;
use crate::telemetry::exposition::{Selection, full_name};
use crate::telemetry::metrics::peers::security_policy;
use crate::telemetry::metrics::{Histogram, Metric, Registry, Sample, Scope};

/// A family of lines: the format wants all of a name together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FamilyName {
    scope: Scope,
    base: &'static str,
    /// `upstream_rq_2xx` and its like are one family, told apart by a label.
    class: bool,
}

struct Family {
    kind: &'static str,
    lines: String,
}

pub(super) fn page(registry: &Registry, selection: &Selection) -> String {
    let mut families: BTreeMap<FamilyName, Family> = BTreeMap::new();
    let mut name = String::new();
    registry.visit(|sample| {
        full_name(&sample, &mut name);
        if selection.takes(&sample, &name) {
            add(&mut families, &sample);
        }
    });
    let mut page = String::with_capacity(families.values().map(|family| family.lines.len().saturating_add(80)).sum());
    for (name, family) in families {
        // Writing to a string cannot fail.
        let _ = write!(page, "# TYPE {} {}\n{}\n", name.text(), family.kind, family.lines);
    }
    page
}

fn add(families: &mut BTreeMap<FamilyName, Family>, sample: &Sample<'_>) {
    let (base, class) = split_class(sample.name);
    let kind = match sample.metric {
        Metric::Counter(_) | Metric::Codes(_) => "counter",
        Metric::Gauge(_) => "gauge",
        Metric::Histogram(_) => "histogram",
    };
    let name = FamilyName { scope: sample.scope, base, class: class.is_some() };
    let labels = labels(sample);
    match sample.metric {
        Metric::Counter(counter) => match class {
            Some(class) => {
                let class = format!("envoy_response_code_class=\"{class}\"");
                family(families, name, kind).line(&name.text(), "", &[&class, &labels], &counter.value());
            }
            None => family(families, name, kind).line(&name.text(), "", &[&labels], &counter.value()),
        },
        Metric::Gauge(gauge) => family(families, name, kind).line(&name.text(), "", &[&labels], &gauge.value()),
        Metric::Histogram(histogram) => family(families, name, kind).histogram(&name.text(), &labels, histogram),
        Metric::Codes(codes) => {
            // A family without lines would be a name without a use.
            for (code, count) in codes.values() {
                let code = format!("envoy_response_code=\"{code}\"");
                family(families, name, kind).line(&name.text(), "", &[&code, &labels], &count);
            }
        }
    }
}

fn family<'a>(families: &'a mut BTreeMap<FamilyName, Family>, name: FamilyName, kind: &'static str) -> &'a mut Family {
    families.entry(name).or_insert_with(|| Family { kind, lines: String::new() })
}

impl FamilyName {
    /// `envoy_cluster_upstream_rq_xx`. Ours begin with our own name.
    fn text(self) -> String {
        // Ours have our own name, once.
        let vendor = if self.scope == Scope::Ninon {
            ""
        } else if self.scope == Scope::Peer {
            "ninon_"
        } else {
            "envoy_"
        };
        let class = if self.class { "_xx" } else { "" };
        let scope = [self.scope.prefix(), self.scope.kind()].map(|part| if part.is_empty() { String::new() } else { format!("{part}_") });
        format!("{vendor}{}{}{class}", scope.concat(), self.base.replace('.', "_"))
    }
}

impl Family {
    fn line(&mut self, name: &str, suffix: &str, labels: &[&str], value: &dyn std::fmt::Display) {
        self.lines.push_str(name);
        self.lines.push_str(suffix);
        self.lines.push('{');
        let mut first = true;
        for label in labels.iter().filter(|label| !label.is_empty()) {
            if !first {
                self.lines.push(',');
            }
            self.lines.push_str(label);
            first = false;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(self.lines, "}} {value}");
    }

    /// In milliseconds. `+Inf` and the count are one number, also while others count on.
    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let mut total = 0;
        for (bound, count) in histogram.cumulative() {
            self.line(name, "_bucket", &[labels, &format!("le=\"{}\"", millis(bound))], &count);
            total = count;
        }
        total = total.max(histogram.count());
        self.line(name, "_bucket", &[labels, "le=\"+Inf\""], &total);
        self.line(name, "_sum", &[labels], &millis(histogram.sum_micros()));
        self.line(name, "_count", &[labels], &total);
    }
}

/// `upstream_rq_5xx` is (`upstream_rq`, `5`).
fn split_class(name: &'static str) -> (&'static str, Option<char>) {
    let class = name.strip_suffix("xx").and_then(|name| {
        let class = name.chars().next_back().filter(char::is_ascii_digit)?;
        Some((name.strip_suffix(class)?.strip_suffix('_')?, Some(class)))
    });
    class.unwrap_or((name, None))
}

fn labels(sample: &Sample<'_>) -> String {
    let Some(label) = sample.scope.label() else { return String::new() };
    if sample.scope == Scope::Peer {
        let (source, destination) = (labelled(label, sample.instance), labelled("destination_principal", sample.part));
        return format!("{source},{destination},{}", labelled("connection_security_policy", security_policy(sample.instance)));
    }
    if sample.part.is_empty() {
        return labelled(label, sample.instance);
    }
    // Envoy has a label for it with HTTP only, and otherwise makes it part of the name.
    let part = if sample.scope == Scope::HttpAccess {
        "envoy_rbac_http_prefix"
    } else if sample.scope == Scope::External {
        "envoy_ext_authz_prefix"
    } else {
        "envoy_rbac_shadow_prefix"
    };
    format!("{},{}", labelled(part, sample.part), labelled(label, sample.instance))
}

fn labelled(label: &str, value: &str) -> String {
    let mut text = format!("{label}=\"");
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(character),
        }
    }
    text.push('"');
    text
}
