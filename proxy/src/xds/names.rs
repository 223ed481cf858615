//! `NameTable` to [`crate::config::names`].
//!
//! It is Istio's type. There one resource may hold all hosts, or each one its own: both are understood.

use xds_proto::istio::networking::nds::v1 as wire;
use xds_proto::istio::networking::nds::v1::name_table::NameInfo;

use crate::config::names::{Host, Names, Service};
use crate::xds::invalid::Parser;

/// The registry of services of the mesh.
const OF_THE_MESH: &str = "Kubernetes";
/// As text (RFC 1035).
const LONGEST_NAME: usize = 253;

/// Parses a table. A host or an address that cannot be one is left out with a warning: one slip in a table of all hosts takes
/// none of the others away.
pub fn parse(table: &wire::NameTable, parser: &mut Parser) -> Names {
    let mut hosts = Vec::with_capacity(table.table.len());
    for (name, info) in &table.table {
        parser.at("table", |parser| {
            parser.at_key(name, |parser| match host_name(name) {
                Some(name) => hosts.push((name, host(info, parser))),
                None => parser.warn("no name of a host; left out"),
            });
        });
    }
    let own = table.name_info.as_ref().map(|info| parser.at("name_info", |parser| host(info, parser)));
    Names { hosts, own }
}

/// In lower case, without a dot at the end.
pub fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let good = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic());
    (name.len() <= LONGEST_NAME && name.split('.').all(good)).then(|| name.to_ascii_lowercase())
}

fn host(info: &NameInfo, parser: &mut Parser) -> Host {
    let mut addresses = Vec::with_capacity(info.ips.len());
    for (index, text) in info.ips.iter().enumerate() {
        parser.at("ips", |parser| {
            parser.at_index(index, |parser| match text.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => parser.warn("not an IP address; left out"),
            });
        });
    }
    let is_service = info.registry == OF_THE_MESH && !info.shortname.is_empty() && !info.namespace.is_empty();
    let service = is_service.then(|| Service { name: info.shortname.to_ascii_lowercase(), namespace: info.namespace.to_ascii_lowercase() });
    Host { addresses, service }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(ips: &[&str]) -> NameInfo {
        let ips = ips.iter().map(|ip| (*ip).to_owned()).collect();
        NameInfo { ips, registry: OF_THE_MESH.to_owned(), shortname: "web".to_owned(), namespace: "shop".to_owned() }
    }

    #[test]
    fn what_cannot_be_is_left_out_and_the_rest_is_taken() {
        let good = info(&["10.0.0.1", "fd00::1", "10.0.0.0/8"]);
        let table = [("Web.shop.svc.cluster.local.", good), ("a..b", info(&[])), ("", info(&[]))];
        let table = table.into_iter().map(|(name, info)| (name.to_owned(), info)).collect();
        let mut parser = Parser::new();
        let names = parse(&wire::NameTable { table, name_info: Some(info(&["10.0.0.2"])) }, &mut parser);
        let (names, warnings) = parser.finish(Some(names)).unwrap();
        let [(name, host)] = names.hosts.as_slice() else { panic!("{names:?}") };
        assert_eq!((name.as_str(), host.addresses.len()), ("web.shop.svc.cluster.local", 2));
        assert_eq!(host.service, Some(Service { name: "web".to_owned(), namespace: "shop".to_owned() }));
        assert_eq!(names.own.map(|own| own.addresses), Some(vec!["10.0.0.2".parse().unwrap()]));
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }

    #[test]
    fn labels_and_names_have_their_length() {
        let label = "a".repeat(63);
        assert!(host_name(&label).is_some() && host_name(&format!("{label}a")).is_none());
        assert!(host_name(&[label.as_str(); 4].join(".")).is_none());
        assert_eq!(host_name("*.Example.com").as_deref(), Some("*.example.com"));
        assert_eq!(host_name("w eb"), None);
    }
}
