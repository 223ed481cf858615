//! What is printed.

/// A line of the table.
pub struct Figure {
    title: String,
    value: f64,
    unit: &'static str,
    most: Option<f64>,
}

impl Figure {
    /// One that has to be reached.
    pub fn to_reach(title: impl Into<String>, value: f64, unit: &'static str, most: f64) -> Self {
        Self { title: title.into(), value, unit, most: Some(most) }
    }

    /// One that is shown.
    pub fn shown(title: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { title: title.into(), value, unit, most: None }
    }

    fn is_reached(&self) -> bool {
        self.most.is_none_or(|most| self.value <= most)
    }
}

/// In Markdown, and whether every figure that has to be reached is.
pub fn table(figures: &[Figure]) -> (String, bool) {
    let mut text = format!("| {:<78} | {:>10} | {:<7} | {:>8} |      |\n|---|---|---|---|---|\n", "figure", "measured", "", "to reach");
    for figure in figures {
        let wanted = figure.most.map_or(String::new(), |most| format!("<= {most}"));
        let verdict = match figure.most {
            None => "",
            Some(_) if figure.is_reached() => "PASS",
            Some(_) => "FAIL",
        };
        let Figure { title, value, unit, .. } = figure;
        text.push_str(&format!("| {title:<78} | {value:>10.1} | {unit:<7} | {wanted:>8} | {verdict:<4} |\n"));
    }
    (text, figures.iter().all(Figure::is_reached))
}

/// A line of the other table.
pub struct Growth {
    pub sidecars: u32,
    pub services: u32,
    pub cold: f64,
    pub memory: f64,
    pub change: f64,
    pub cpu: f64,
}

/// In Markdown.
pub fn growth(lines: &[Growth]) -> String {
    let mut text =
        "| sidecars | services | cold start (s) | memory (MiB) | a change, p99 (ms) | CPU (s) |\n|---|---|---|---|---|---|\n".to_owned();
    for Growth { sidecars, services, cold, memory, change, cpu } in lines {
        text.push_str(&format!("| {sidecars} | {services} | {cold:.2} | {memory:.0} | {change:.0} | {cpu:.1} |\n"));
    }
    text
}
