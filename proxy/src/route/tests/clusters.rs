use super::*;

fn named(forward: &Forward, request: &RequestHead, draw: u64) -> Result<String, MissingClusterHeader> {
    action::cluster(forward, request, draw).map(|chosen| chosen.name.to_string())
}

#[test]
fn a_header_may_name_it() {
    let header = HeaderName::from_static("x-cluster");
    let forward = Forward { cluster: ClusterChoice::Header(header.clone()), ..forward() };
    assert_eq!(named(&forward, &request("/", &[("x-cluster", "blue")]), 0).unwrap(), "blue");
    assert_eq!(named(&forward, &request("/", &[]), 0), Err(MissingClusterHeader(header.clone())));
    assert_eq!(named(&forward, &request("/", &[("x-cluster", "")]), 0), Err(MissingClusterHeader(header)));
}

#[test]
fn a_split_is_drawn_or_fixed_by_a_header() {
    let to = |name: &str| part(WeightedTarget::Cluster(ClusterName::from(name)));
    let by_header = part(WeightedTarget::Header(HeaderName::from_static("x-cluster")));
    let split = Split::new(vec![(to("one"), 1), (to("two"), 2), (by_header, 1)]).unwrap();
    let clusters = WeightedClusters { split, draw_header: Some(HeaderName::from_static("x-draw")) };
    let forward = Forward { cluster: ClusterChoice::Weighted(Box::new(clusters)), ..forward() };
    let name = |fields: &[(&str, &str)], draw| named(&forward, &request("/", fields), draw).unwrap();
    assert_eq!(name(&[], 0), "one");
    assert_eq!(name(&[], 2), "two");
    assert_eq!(name(&[("x-cluster", "three")], 3), "three");
    assert_eq!(name(&[("x-draw", "1")], 0), "two");
    assert_eq!(name(&[("x-draw", "nonsense")], 4), "one");
    assert_eq!(named(&forward, &request("/", &[]), 3).unwrap_err().to_string(), "header x-cluster, which names the cluster, is missing");
    assert!(action::cluster(&forward, &request("/", &[]), 0).unwrap().weighted.is_some());
}
