//! Wire types from JSON, for tests of the parsers.

use std::sync::LazyLock;

use serde_json::Value;
use xds_proto::json;

use crate::xds::invalid::Parser;

static POOL: LazyLock<prost_reflect::DescriptorPool> = LazyLock::new(|| xds_proto::descriptor_pool().unwrap());

/// A wire type from its JSON form.
pub(crate) fn message<M: prost::Message + prost::Name + Default>(value: &Value) -> M {
    match json::from_json::<M>(&POOL, value) {
        Ok((message, _)) => message,
        Err(faults) => panic!("{faults:?}"),
    }
}

/// What a parser makes of something: the value and the warnings, or the faults.
pub(crate) fn parsed<T>(parse: impl FnOnce(&mut Parser) -> Option<T>) -> Result<(T, Vec<String>), String> {
    let mut parser = Parser::new();
    let value = parse(&mut parser);
    let finished = parser.finish(value).map_err(|faults| faults.to_string())?;
    Ok((finished.0, finished.1.iter().map(ToString::to_string).collect()))
}
