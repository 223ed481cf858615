use super::*;

fn option(key: &str, value: &str) -> wire::HeaderValueOption {
    let header = wire::HeaderValue { key: key.to_owned(), value: value.to_owned(), ..Default::default() };
    wire::HeaderValueOption { header: Some(header), ..Default::default() }
}

fn parse(add: &[wire::HeaderValueOption], remove: &[&str]) -> Result<HeaderMutations, String> {
    let remove: Vec<String> = remove.iter().map(|name| (*name).to_owned()).collect();
    let mut parser = Parser::new();
    let mutations = request(add, &remove, &mut parser);
    parser.finish(Some(mutations)).map(|(mutations, _)| mutations).map_err(|faults| faults.to_string())
}

fn action(option: wire::HeaderValueOption) -> Result<HeaderAction, String> {
    parse(&[option], &[]).map(|mutations| mutations.set[0].action)
}

#[test]
fn headers_are_added_and_removed() {
    let mutations = parse(&[option("X-A", "b")], &["X-B"]).unwrap();
    assert_eq!(mutations.remove, [HeaderName::from_static("x-b")]);
    assert_eq!(mutations.set[0].target, HeaderTarget::Field(HeaderName::from_static("x-a")));
    assert_eq!(mutations.set[0].value, Format::parse("b").unwrap());
    assert!(!mutations.set[0].keep_empty);
}

#[test]
fn append_action_and_the_older_append_are_read() {
    let of = |append, append_action| action(wire::HeaderValueOption { append, append_action, ..option("a", "b") });
    assert_eq!(of(None, 0).unwrap(), HeaderAction::Append);
    assert_eq!(of(None, 1).unwrap(), HeaderAction::AddIfAbsent);
    assert_eq!(of(None, 2).unwrap(), HeaderAction::OverwriteOrAdd);
    assert_eq!(of(None, 3).unwrap(), HeaderAction::OverwriteIfExists);
    assert_eq!(of(Some(true), 0).unwrap(), HeaderAction::Append);
    assert_eq!(of(Some(false), 0).unwrap(), HeaderAction::OverwriteOrAdd);
    assert_eq!(of(Some(true), 1).unwrap_err(), "request_headers_to_add[0].append: cannot be set beside append_action");
    assert_eq!(of(None, 4).unwrap_err(), "request_headers_to_add[0].append_action: 4 is not a value of this enum");
}

#[test]
fn the_host_and_pseudo_headers_are_not_touched() {
    assert_eq!(
        parse(&[option(":path", "/")], &["Host"]).unwrap_err(),
        "request_headers_to_remove[0]: \"Host\" may not be removed: host and names that begin with ':' are changed by rewrites\n\
         request_headers_to_add[0].header.key: \":path\" may not be modified: host and names that begin with ':' are changed by rewrites"
    );
}

#[test]
fn a_header_needs_a_valid_name_and_value() {
    assert_eq!(parse(&[option("", "")], &[]).unwrap_err(), "request_headers_to_add[0].header.key: must not be empty");
    assert_eq!(parse(&[option("a b", "")], &[]).unwrap_err(), "request_headers_to_add[0].header.key: \"a b\" is not a header name");
    assert_eq!(
        parse(&[option("a", "b\r\nc")], &[]).unwrap_err(),
        "request_headers_to_add[0].header.value: \"b\\r\\nc\" cannot stand in a header"
    );
    assert_eq!(parse(&[wire::HeaderValueOption::default()], &[]).unwrap_err(), "request_headers_to_add[0].header: required");
    let long = "x".repeat(LONGEST + 1);
    assert_eq!(parse(&[option("a", &long)], &[]).unwrap_err(), "request_headers_to_add[0].header.value: 16385 bytes are more than 16384");
}

#[test]
fn a_raw_value_counts_where_there_is_no_value() {
    let raw = |value: &str, raw: &'static [u8]| {
        let mut option = option("a", value);
        option.header.as_mut().unwrap().raw_value = bytes::Bytes::from_static(raw);
        parse(&[option], &[]).map(|mutations| mutations.set[0].value.clone())
    };
    assert_eq!(raw("", b"y").unwrap(), Format::parse("y").unwrap());
    assert_eq!(raw("x", b"y").unwrap(), Format::parse("x").unwrap());
    assert_eq!(raw("", b"\xff").unwrap_err(), "request_headers_to_add[0].header.raw_value: is not UTF-8, which a format must be");
}

#[test]
fn a_list_of_headers_is_bounded() {
    let many = vec![option("a", "b"); MOST_ADDED + 1];
    assert_eq!(parse(&many, &[]).unwrap_err(), "request_headers_to_add: 1001 headers are more than 1000");
}

#[test]
fn the_authority_can_be_read_and_other_pseudo_headers_cannot() {
    let mut parser = Parser::new();
    assert_eq!(read_name_at("cluster_header", ":authority", &mut parser), Some(http::header::HOST));
    assert_eq!(read_name_at("cluster_header", ":path", &mut parser), None);
    assert_eq!(
        parser.finish(Some(())).unwrap_err().to_string(),
        "cluster_header: \":path\" cannot be read here: the only pseudo-header that can is :authority"
    );
}
