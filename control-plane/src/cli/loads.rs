//! `ninon loads`.

use clap::Args;
use serde_json::Value;

use crate::api::loads::{Load, Loads, Requests};
use crate::cli::client::Client;
use crate::cli::proxies::{dash, span};
use crate::cli::table::table;
use crate::cli::{Ending, Output, Server, Stop, Terminal};
use crate::source::print::yaml;

/// What `loads` is told.
#[derive(Args, Debug)]
pub struct LoadsCommand {
    /// Only of this cluster, such as `cart.shop:80`
    cluster: Option<String>,
    /// How they are shown; `wide` has a row for each locality of the endpoints
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

impl LoadsCommand {
    pub(super) fn run(&self, terminal: &mut Terminal<'_>) -> Result<Ending, Stop> {
        let mut loads: Loads = Client::new(&self.server)?.get("/api/v1/loads")?.read()?;
        loads.items.retain(|load| self.cluster.as_ref().is_none_or(|cluster| load.cluster == *cluster));
        let text = match (self.output, loads.items.as_slice()) {
            (Output::Json, _) => serde_json::to_string_pretty(&loads).unwrap_or_default() + "\n",
            (Output::Yaml, _) => yaml(&serde_json::to_value(&loads).unwrap_or(Value::Null)),
            (_, []) => {
                writeln!(terminal.err, "no load is reported")?;
                return Ok(Ending::Done);
            }
            (Output::Name, loads) => loads.iter().map(|load| format!("{}\n", load.cluster)).collect(),
            (Output::Table, loads) => of_clusters(loads),
            (Output::Wide, loads) => of_localities(loads),
        };
        terminal.out.write_all(text.as_bytes())?;
        Ok(Ending::Done)
    }
}

fn of_clusters(loads: &[Load]) -> String {
    let rows = loads.iter().map(|load| {
        let [rate, failures, active, reporters] = figures(&load.total);
        vec![load.cluster.clone(), rate, failures, active, load.dropped.to_string(), reporters, span(load.age_seconds)]
    });
    table(&["CLUSTER", "REQUESTS/S", "FAILURES/S", "ACTIVE", "DROPPED", "REPORTERS", "AGE"], &rows.collect::<Vec<_>>())
}

fn of_localities(loads: &[Load]) -> String {
    let rows = loads.iter().flat_map(|load| {
        load.localities.iter().map(|of| {
            let [rate, failures, active, reporters] = figures(&of.requests);
            let counts = [of.requests.issued, of.requests.successful, of.requests.failed].map(|count| count.to_string());
            let place = [&of.region, &of.zone, &of.sub_zone].map(|name| dash(name));
            let name = [load.cluster.clone()];
            [&name[..], &place, &[rate, failures, active], &counts, &[reporters, span(load.age_seconds)]].concat()
        })
    });
    let head = [
        "CLUSTER",
        "REGION",
        "ZONE",
        "SUB-ZONE",
        "REQUESTS/S",
        "FAILURES/S",
        "ACTIVE",
        "ISSUED",
        "SUCCESSFUL",
        "FAILED",
        "REPORTERS",
        "AGE",
    ];
    table(&head, &rows.collect::<Vec<_>>())
}

fn figures(requests: &Requests) -> [String; 4] {
    let rate = |value: f64| format!("{value:.1}");
    [
        rate(requests.requests_per_second),
        rate(requests.failures_per_second),
        requests.in_progress.to_string(),
        requests.reporters.to_string(),
    ]
}
