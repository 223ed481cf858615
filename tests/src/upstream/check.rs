//! The messages of an authorization service (`envoy.service.auth.v3.Authorization/Check`), as text in cases and observations.

use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::sync::LazyLock;

/// Requests with this path are shown field by field.
pub(super) const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| xds_proto::descriptor_pool().expect("the descriptors are embedded"));

/// A `CheckResponse` in its gRPC frame. One that is none makes a case unreadable.
#[derive(Clone, Debug, Default)]
pub struct CheckResponse(Vec<u8>);

impl CheckResponse {
    pub(super) fn frame(&self) -> Vec<u8> {
        self.0.clone()
    }
}

impl<'de> Deserialize<'de> for CheckResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Value::deserialize(deserializer)?;
        let descriptor = POOL.get_message_by_name("envoy.service.auth.v3.CheckResponse").expect("the message is in the slice");
        let message = DynamicMessage::deserialize(descriptor, &fields).map_err(|error| D::Error::custom(format!("check: {error}")))?;
        let bytes = prost::Message::encode_to_vec(&message);
        let length = u32::try_from(bytes.len()).expect("a case is small");
        Ok(Self([&[0], length.to_be_bytes().as_slice(), &bytes].concat()))
    }
}

/// The fields of a `CheckRequest`, one a line; what is another one each time is only shown to be there.
pub(super) fn request(body: &[u8]) -> Option<Vec<String>> {
    let descriptor = POOL.get_message_by_name("envoy.service.auth.v3.CheckRequest")?;
    let message = DynamicMessage::decode(descriptor, body.get(5..)?).ok()?;
    let mut lines = Vec::new();
    flatten("check", &serde_json::to_value(&message).ok()?, &mut lines);
    Some(lines)
}

fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    let changing = ["/request/time", "/request/http/id", "/source/address/socketAddress/portValue", "/ext_authz_duration"];
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.iter().for_each(|(name, value)| {
            // A colon would end the name of the line.
            flatten(&format!("{path}/{}", name.replace(':', "~")), value, lines);
        }),
        _ if changing.iter().any(|end| path.ends_with(end)) => lines.push(format!("{path}: <present>")),
        Value::String(text) if path.ends_with("/headers/x-request-id") => lines.push(format!("{path}: <{} letters>", text.len())),
        Value::String(text) => lines.push(format!("{path}: {text}")),
        other => lines.push(format!("{path}: {other}")),
    }
}
