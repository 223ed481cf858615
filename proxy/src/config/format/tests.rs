use proptest::prelude::*;

use super::{Command, DEFAULT_ACCESS_LOG, FieldChoice, FieldName, Format, FormatItem, PathSource, TimeFormat, TimeItem};

fn literal(text: &str) -> FormatItem {
    FormatItem::Literal(text.to_owned())
}

fn plain(command: Command) -> FormatItem {
    FormatItem::Command(command, None)
}

fn field(name: &'static str) -> FieldName {
    FieldName::Field(http::HeaderName::from_static(name))
}

fn items(text: &str) -> Vec<FormatItem> {
    Format::parse(text).unwrap().items
}

#[test]
fn a_text_without_commands_is_one_literal() {
    assert_eq!(items("a b"), [literal("a b")]);
    assert_eq!(items(""), []);
}

#[test]
fn two_percent_signs_are_one() {
    assert_eq!(items("100%%"), [literal("100%")]);
    assert_eq!(items("a%%b%PROTOCOL%%%"), [literal("a%b"), plain(Command::Protocol), literal("%")]);
}

#[test]
fn commands_stand_side_by_side() {
    assert_eq!(items("%PROTOCOL%%BYTES_SENT%"), [plain(Command::Protocol), plain(Command::BytesSent)]);
}

#[test]
fn a_header_has_an_alternative_and_a_length() {
    let choice = FieldChoice { first: field("x-a"), second: Some(FieldName::Path) };
    assert_eq!(items("%REQ(X-A?:PATH):12%"), [FormatItem::Command(Command::Request(choice), Some(12))]);
}

#[test]
fn an_empty_name_is_never_there() {
    let only_second = FieldChoice { first: FieldName::Missing, second: Some(field("y")) };
    assert_eq!(items("%RESP(?Y)%"), [plain(Command::Response(only_second))]);
    let only_first = FieldChoice { first: field("x"), second: None };
    assert_eq!(items("%TRAILER(X?)%"), [plain(Command::Trailer(only_first))]);
    let pseudo = FieldChoice { first: FieldName::Missing, second: None };
    assert_eq!(items("%REQ(:nonsense)%"), [plain(Command::Request(pseudo))]);
}

#[test]
fn parameters_end_where_the_command_can() {
    let time = TimeFormat { items: vec![TimeItem::Year, literal_time(")x%")] };
    assert_eq!(items("%START_TIME(%Y)x%)%"), [plain(Command::StartTime(time))]);
}

fn literal_time(text: &str) -> TimeItem {
    TimeItem::Literal(text.to_owned())
}

#[test]
fn a_path_has_options() {
    let path = |query, source| [plain(Command::Path { query, source })];
    assert_eq!(items("%PATH%"), path(true, PathSource::OriginalOrCurrent));
    assert_eq!(items("%PATH(NQ)%"), path(false, PathSource::OriginalOrCurrent));
    assert_eq!(items("%PATH(:ORIG)%"), path(true, PathSource::Original));
    assert_eq!(items("%PATH(NQ:PATH)%"), path(false, PathSource::Current));
}

#[test]
fn times_are_taken_apart() {
    let time = |text: &str| match items(&format!("%START_TIME({text})%")).remove(0) {
        FormatItem::Command(Command::StartTime(format), None) => format,
        other @ (FormatItem::Literal(_) | FormatItem::Command(..)) => panic!("{other:?}"),
    };
    assert_eq!(time(""), TimeFormat::default());
    assert_eq!(time("%s.%3f"), TimeFormat { items: vec![TimeItem::Epoch, literal_time("."), TimeItem::Fraction(3)] });
    assert_eq!(time("%F").items.len(), 5);
    assert_eq!(time("%E*S%E3f").items, [TimeItem::SecondExact, TimeItem::Fraction(3)]);
    assert_eq!(time("%%%Z%z%Ez").items, [literal_time("%UTC+0000+00:00")]);
}

#[test]
fn what_nothing_sets_is_accepted() {
    for text in ["%FILTER_STATE(a:PLAIN)%", "%UPSTREAM_METADATA(a)%", "%FILTER_CHAIN_NAME%"] {
        assert!(matches!(items(text).as_slice(), [FormatItem::Command(Command::Unset, _)]), "{text}");
    }
}

#[test]
fn metadata_is_asked_for_by_its_filter_and_names() {
    let of = |filter: &str, path: &[&str]| Command::Metadata {
        filter: filter.to_owned(),
        path: path.iter().map(|name| (*name).to_owned()).collect(),
    };
    assert_eq!(items("%DYNAMIC_METADATA(a)%"), [FormatItem::Command(of("a", &[]), None)]);
    assert_eq!(items("%DYNAMIC_METADATA(a:b:c d):5%"), [FormatItem::Command(of("a", &["b", "c d"]), Some(5))]);
}

#[test]
fn the_default_is_a_format() {
    assert_eq!(items(DEFAULT_ACCESS_LOG).iter().filter(|item| matches!(item, FormatItem::Command(..))).count(), 15);
}

#[test]
fn each_refusal_says_where_what_and_why() {
    let syntax = "is not %COMMAND%, %COMMAND(parameters)% or %%";
    let cases = [
        ("%", "%", 0, syntax),
        ("a %REQ", "%REQ", 2, syntax),
        ("%REQ(X)", "%REQ(X)", 0, syntax),
        ("%REQ(X", "%REQ(X", 0, syntax),
        ("%REQ(X):%", "%REQ(X):%", 0, syntax),
        ("%REQ(X):a%", "%REQ(X):a%", 0, syntax),
        ("%REQ(X):-1%", "%REQ(X):-1%", 0, syntax),
        ("%REQ(X):99999999999999999999%", "%REQ(X):99999999999999999999%", 0, syntax),
        ("%REQ(a):3:4%", "%REQ(a):3:4%", 0, syntax),
        ("%REQ(X)a%", "%REQ(X)a%", 0, syntax),
        ("% REQ(X)%", "% REQ(X)%", 0, syntax),
        ("%REQ(X\nY)%", "%REQ(X\nY)%", 0, syntax),
        ("%protocol%", "%protocol%", 0, syntax),
        ("%%%", "%", 2, syntax),
        ("x%BOGUS%y", "%BOGUS%", 1, "there is no command BOGUS"),
        ("%REQ%", "%REQ%", 0, "REQ requires parameters"),
        ("%REQ()%", "%REQ()%", 0, "REQ requires parameters"),
        ("%REQ(X?Y?Z)%", "%REQ(X?Y?Z)%", 0, "more than one alternative header in \"X?Y?Z\""),
        ("%REQ(X Y)%", "%REQ(X Y)%", 0, "\"X Y\" is not the name of a header"),
        ("%PROTOCOL(x)%", "%PROTOCOL(x)%", 0, "PROTOCOL does not take any parameters or length"),
        ("%PROTOCOL:3%", "%PROTOCOL:3%", 0, "PROTOCOL does not take any parameters or length"),
        ("%START_TIME:3%", "%START_TIME:3%", 0, "START_TIME does not allow length to be specified"),
        ("%START_TIME(%n)%", "%START_TIME(%n)%", 0, "%n: a time cannot hold a line end"),
        ("%START_TIME(%Q)%", "%START_TIME(%Q)%", 0, "there is no %Q in a time"),
        ("%START_TIME(%E9Q)%", "%START_TIME(%E9Q)%", 0, "there is no %E9Q in a time"),
        ("%START_TIME_LOCAL%", "%START_TIME_LOCAL%", 0, "local time is not supported: use START_TIME, which is UTC"),
        ("%GRPC_STATUS(X)%", "%GRPC_STATUS(X)%", 0, "\"X\" is not CAMEL_STRING, SNAKE_STRING or NUMBER"),
        ("%GRPC_STATUS(NUMBER):3%", "%GRPC_STATUS(NUMBER):3%", 0, "GRPC_STATUS does not allow length to be specified"),
        ("%PATH(XX)%", "%PATH(XX)%", 0, "\"XX\" is not WQ or NQ"),
        ("%PATH(WQ:XX)%", "%PATH(WQ:XX)%", 0, "\"XX\" is not ORIG, PATH or ORIG_OR_PATH"),
        ("%DYNAMIC_METADATA%", "%DYNAMIC_METADATA%", 0, "DYNAMIC_METADATA requires parameters"),
        ("%ENVIRONMENT(HOME)%", "%ENVIRONMENT(HOME)%", 0, "the environment is not read here: write the value itself"),
        ("%COMMON_DURATION(DS_RX_BEG)%", "%COMMON_DURATION(DS_RX_BEG)%", 0, "\"DS_RX_BEG\" is not begin:end or begin:end:unit"),
        ("%COMMON_DURATION(A:B:xx)%", "%COMMON_DURATION(A:B:xx)%", 0, "\"xx\" is not ms, us or ns"),
        ("%REQUESTED_SERVER_NAME(SNI_FIRST)%", "%REQUESTED_SERVER_NAME(SNI_FIRST)%", 0, "\"SNI_FIRST\" is not supported: only SNI_ONLY is"),
        ("%UPSTREAM_WIRE_BYTES_SENT%", "%UPSTREAM_WIRE_BYTES_SENT%", 0, "UPSTREAM_WIRE_BYTES_SENT is not supported"),
    ];
    for (text, shown, position, rule) in cases {
        let error = Format::parse(text).unwrap_err().to_string();
        assert_eq!(error, format!("{shown:?} at position {position}: {rule}"), "{text}");
    }
}

#[test]
fn a_long_refused_text_is_cut() {
    let error = Format::parse(&format!("%{}", "é".repeat(100))).unwrap_err();
    assert_eq!(error.text, format!("%{}...", "é".repeat(59)));
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "[%A-Z_:()?a-z0-9 \\PC]{0,80}") {
        let _ = Format::parse(&text);
    }

    #[test]
    fn pieces_of_commands_never_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "%", "%%", "REQ", "(", ")", ":", "1", "PATH", "START_TIME", "%E", "3f", "?", "é", "\n", ":path", "NQ", "PROTOCOL",
    ]), 0..12)) {
        let _ = Format::parse(&pieces.concat());
    }

    #[test]
    fn a_text_without_percent_signs_stays(text in "[^%]{1,40}") {
        prop_assert_eq!(Format::parse(&text).unwrap().items, vec![FormatItem::Literal(text)]);
    }
}
