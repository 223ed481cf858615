//! Medians, side by side, and whether they are good enough.

use crate::measure::{Measure, Target};
use crate::subject::{Kind, Setting};

/// Everything seen, in no order.
#[derive(Default)]
pub struct Results(Vec<(Kind, Measure, f64)>);

impl Results {
    pub fn add(&mut self, kind: Kind, measure: Measure, value: f64) {
        self.0.push((kind, measure, value));
    }

    fn has(&self, measure: Measure) -> bool {
        self.0.iter().any(|(_, of, _)| *of == measure)
    }

    fn median(&self, kind: Kind, measure: Measure) -> Option<f64> {
        let of = self.0.iter().filter(|(k, m, value)| *k == kind && *m == measure && value.is_finite());
        let mut values: Vec<_> = of.map(|(_, _, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len().checked_sub(1)? / 2).copied()
    }

    /// The table in Markdown, and whether every figure that was measured is reached. One that lacks either side is not.
    pub fn table(&self, setting: Setting, kinds: &[Kind]) -> (String, bool) {
        let mut text = row("measure", kinds.iter().map(|kind| kind.name().to_owned()), ["of Envoy", "to reach", ""]);
        text.push_str(&"|---".repeat(kinds.len() + 4));
        text.push_str("|\n");
        let mut good = true;
        for measure in Measure::ALL.into_iter().filter(|measure| self.has(*measure)) {
            let cells = kinds.iter().map(|kind| self.median(*kind, measure).map_or("-".to_owned(), |value| format!("{value:.2}")));
            let (ninon, envoy) = (self.median(Kind::Ninon, measure), self.median(Kind::Envoy, measure));
            let ratio = ninon.zip(envoy).map(|(ninon, envoy)| ninon / envoy);
            let (reached, wanted) = match measure.target(setting) {
                Target::OfEnvoy(most) => (ratio.is_some_and(|ratio| ratio <= most), format!("<= {most} x Envoy")),
                Target::Most(most) => (ninon.is_some_and(|ninon| ninon <= most), format!("<= {most}")),
            };
            good &= reached;
            let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
            text.push_str(&row(measure.title(), cells, [&ratio, &wanted, if reached { "PASS" } else { "FAIL" }]));
        }
        (text, good)
    }
}

fn row(title: &str, cells: impl Iterator<Item = String>, last: [&str; 3]) -> String {
    let cells: String = cells.map(|cell| format!(" {cell:>11} |")).collect();
    let [ratio, wanted, verdict] = last;
    format!("| {title:<52} |{cells} {ratio:>8} | {wanted:<15} | {verdict:<4} |\n")
}
