use super::*;

fn index(domains: &[Domain]) -> DomainIndex {
    let hosts: Vec<_> = domains.iter().map(|domain| Arc::new(host(&domain.to_string(), vec![domain.clone()], Vec::new()))).collect();
    DomainIndex::new(&hosts).unwrap()
}

fn found(index: &DomainIndex, host: &str, ignore_port: bool) -> String {
    index.find(host, ignore_port).map_or_else(|| "(none)".to_owned(), |host| host.name.clone())
}

#[test]
fn exact_then_longest_suffix_then_longest_prefix_then_any() {
    let index = index(&[
        Domain::Any,
        Domain::Prefix("www.".into()),
        Domain::Prefix("www.shop.".into()),
        Domain::Suffix(".shop.test".into()),
        Domain::Suffix(".test".into()),
        Domain::Suffix("-api.test".into()),
        Domain::Exact("www.shop.test".into()),
        Domain::Exact("[::1]".into()),
    ]);
    for (host, ignore_port, expected) in [
        ("www.shop.test", false, "www.shop.test"),
        ("WWW.Shop.Test", false, "www.shop.test"),
        ("m.shop.test", false, "*.shop.test"),
        (".shop.test", false, "*.test"),
        ("x-api.test", false, "*-api.test"),
        ("www.shop.org", false, "www.shop.*"),
        ("www.other.org", false, "www.*"),
        ("www.", false, "*"),
        ("other.org", false, "*"),
        ("", false, "*"),
        ("www.shop.test:80", false, "www.shop.*"),
        ("www.shop.test:80", true, "www.shop.test"),
        ("www.shop.test:http", true, "www.shop.test"),
        ("[::1]:80", true, "[::1]"),
        ("[::1]", true, "[::1]"),
    ] {
        assert_eq!(found(&index, host, ignore_port), expected, "{host}");
    }
}

#[test]
fn a_domain_belongs_to_one_virtual_host() {
    let hosts = [host("one", vec![Domain::Suffix(".test".into())], vec![]), host("two", vec![Domain::Suffix(".test".into())], vec![])];
    let error = DomainIndex::new(&hosts.map(Arc::new)).unwrap_err();
    assert_eq!(error.to_string(), "domain \"*.test\" of virtual host \"two\" belongs to \"one\" already");
}

fn naive(domains: &[Domain], host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let rank = |domain: &Domain| match domain {
        Domain::Exact(name) if *name == host => Some((3, 0)),
        Domain::Suffix(suffix) if host.len() > suffix.len() && host.ends_with(suffix) => Some((2, suffix.len())),
        Domain::Prefix(prefix) if host.len() > prefix.len() && host.starts_with(prefix) => Some((1, prefix.len())),
        Domain::Any => Some((0, 0)),
        Domain::Exact(_) | Domain::Suffix(_) | Domain::Prefix(_) => None,
    };
    let best = domains.iter().filter_map(|domain| Some((rank(domain)?, domain))).max_by_key(|(rank, _)| *rank);
    best.map_or_else(|| "(none)".to_owned(), |(_, domain)| domain.to_string())
}

fn any_domain() -> impl Strategy<Value = Domain> {
    let text = "[ab.é]{1,4}";
    prop_oneof![
        4 => text.prop_map(Domain::Exact),
        4 => text.prop_map(Domain::Suffix),
        4 => text.prop_map(Domain::Prefix),
        1 => Just(Domain::Any),
    ]
}

proptest! {
    #[test]
    fn the_index_finds_what_a_search_finds(domains in prop::collection::vec(any_domain(), 0..12), host in "[abAB.é]{0,6}") {
        let mut unique: Vec<Domain> = Vec::new();
        for domain in domains {
            if !unique.contains(&domain) {
                unique.push(domain);
            }
        }
        prop_assert_eq!(found(&index(&unique), &host, false), naive(&unique, &host));
    }
}
