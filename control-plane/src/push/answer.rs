//! An answer, and its bytes: written part by part, without copying it whole.
//!
//! A message is prefixed with its length, so that is computed first. Then small resources are gathered into chunks, and large
//! ones are handed on as they are: what a stream holds of an answer is one chunk and references. What many streams are sent is
//! gathered once for all of them.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::proxies::status::Dialect;
use crate::push::batch::Resources;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::{Resource, Version};

/// Bytes that are gathered, and handed on at once.
const CHUNK: usize = 16 * 1024;
/// From this length on a resource is a chunk of its own.
const LARGE: usize = 8 * 1024;

/// A `DiscoveryResponse` or a `DeltaDiscoveryResponse`.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Of which type.
    pub kind: Kind,
    /// Which of the two messages.
    pub dialect: Dialect,
    /// Of all resources of the type.
    pub version: Version,
    /// By which the client replies.
    pub nonce: u64,
    /// In this order.
    pub resources: Resources,
    /// Names that do not exist. An incremental answer takes them away; one of the state of the world says so of those asked for.
    pub removed: Vec<Arc<str>>,
}

impl Default for Answer {
    fn default() -> Self {
        let (resources, removed) = Default::default();
        Self { kind: Kind::Cluster, dialect: Dialect::Delta, version: Version::default(), nonce: 0, resources, removed }
    }
}

/// Field numbers. `resources` is 2 in both messages, and so are `version` and `resource` of a `Resource` 1 and 2.
mod field {
    pub(super) const VERSION: u32 = 1;
    pub(super) const RESOURCES: u32 = 2;
    pub(super) const TYPE_URL: u32 = 4;
    pub(super) const NONCE: u32 = 5;
    pub(super) const REMOVED: u32 = 6;
    /// `control_plane`, by dialect.
    pub(super) const SOTW_SERVER: u32 = 6;
    pub(super) const DELTA_SERVER: u32 = 7;
    pub(super) const SERVER_IDENTIFIER: u32 = 1;
    /// `resource_errors`: of a name in a `ResourceName`, a `google.rpc.Status`.
    pub(super) const SOTW_ERRORS: u32 = 7;
    pub(super) const ERROR_NAME: u32 = 1;
    pub(super) const ERROR_STATUS: u32 = 2;
    pub(super) const NAME_NAME: u32 = 1;
    pub(super) const STATUS_CODE: u32 = 1;
    pub(super) const STATUS_MESSAGE: u32 = 2;
    pub(super) const RESOURCE_VERSION: u32 = 1;
    pub(super) const RESOURCE_CONTENT: u32 = 2;
    pub(super) const RESOURCE_NAME: u32 = 3;
}

/// An answer that is being written.
#[derive(Debug)]
pub struct Writer {
    buffer: BytesMut,
    /// What comes after that.
    large: Option<Bytes>,
    dialect: Dialect,
    resources: Resources,
    /// So many of them are written.
    written: usize,
    /// Of the whole frame.
    pub len: usize,
}

impl Writer {
    /// From the frame's prefix on. `server` is who answers.
    pub fn new(answer: Answer, server: &str) -> Self {
        let mut head = BytesMut::new();
        text(&mut head, field::VERSION, &answer.version.to_string());
        text(&mut head, field::TYPE_URL, answer.kind.type_url());
        text(&mut head, field::NONCE, &answer.nonce.to_string());
        for name in &answer.removed {
            match answer.dialect {
                Dialect::Delta => text(&mut head, field::REMOVED, name),
                Dialect::Sotw => missing(&mut head, name),
            }
        }
        let number = if answer.dialect == Dialect::Sotw { field::SOTW_SERVER } else { field::DELTA_SERVER };
        begin(&mut head, number, text_len(field::SERVER_IDENTIFIER, server));
        text(&mut head, field::SERVER_IDENTIFIER, server);
        let page = answer.resources.page().filter(|_| answer.dialect == Dialect::Delta).map(|page| page.bytes(gathered));
        let resources = page.map_or_else(|| length(&answer.resources, answer.dialect), Bytes::len);
        let len = head.len() + resources;
        let mut buffer = BytesMut::with_capacity(CHUNK.min(len + 5));
        // gRPC: not compressed, and the length.
        buffer.put_u8(0);
        buffer.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        buffer.put(head);
        let mut large = None;
        match page {
            Some(page) if page.len() < LARGE => buffer.put_slice(page),
            Some(page) => large = Some(page.clone()),
            None => {}
        }
        let written = if page.is_some() { answer.resources.len() } else { 0 };
        Self { buffer, large, dialect: answer.dialect, resources: answer.resources, written, len: len + 5 }
    }

    /// The next bytes, if there are more.
    pub fn chunk(&mut self) -> Option<Bytes> {
        while self.large.is_none()
            && self.buffer.len() < CHUNK
            && let Some(resource) = self.resources.get(self.written)
        {
            self.written += 1;
            begin_resource(&mut self.buffer, resource, self.dialect);
            if resource.any.len() >= LARGE {
                self.large = Some(resource.any.clone());
            } else {
                self.buffer.put_slice(&resource.any);
            }
        }
        if self.buffer.is_empty() {
            return self.large.take();
        }
        // Taken whole: what is left of a buffer would keep all of it alive.
        Some(std::mem::take(&mut self.buffer).freeze())
    }
}

/// All of them in one piece, as incremental answers have them.
fn gathered(resources: &[Arc<Resource>]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(length(resources, Dialect::Delta));
    for resource in resources {
        begin_resource(&mut buffer, resource, Dialect::Delta);
        buffer.put_slice(&resource.any);
    }
    buffer.freeze()
}

/// What comes before its content.
fn begin_resource(buffer: &mut BytesMut, resource: &Resource, dialect: Dialect) {
    begin(buffer, field::RESOURCES, inner_len(resource, dialect));
    if dialect == Dialect::Delta {
        text(buffer, field::RESOURCE_NAME, &resource.name);
        text(buffer, field::RESOURCE_VERSION, &resource.version.to_string());
        begin(buffer, field::RESOURCE_CONTENT, resource.any.len());
    }
}

fn length(resources: &[Arc<Resource>], dialect: Dialect) -> usize {
    resources.iter().map(|resource| field_len(field::RESOURCES, inner_len(resource, dialect))).sum()
}

fn inner_len(resource: &Resource, dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sotw => resource.any.len(),
        Dialect::Delta => {
            let version = field_len(field::RESOURCE_VERSION, VERSION_LEN);
            version + text_len(field::RESOURCE_NAME, &resource.name) + field_len(field::RESOURCE_CONTENT, resource.any.len())
        }
    }
}

/// gRFC A88: without it, clients wait some time before they believe that a name does not exist.
fn missing(buffer: &mut BytesMut, name: &str) {
    const NOT_FOUND: u64 = 5;
    const MESSAGE: &str = "there is no such resource";
    let name_len = text_len(field::NAME_NAME, name);
    let status_len = key_len(field::STATUS_CODE) + encoded_len_varint(NOT_FOUND) + text_len(field::STATUS_MESSAGE, MESSAGE);
    begin(buffer, field::SOTW_ERRORS, field_len(field::ERROR_NAME, name_len) + field_len(field::ERROR_STATUS, status_len));
    begin(buffer, field::ERROR_NAME, name_len);
    text(buffer, field::NAME_NAME, name);
    begin(buffer, field::ERROR_STATUS, status_len);
    encode_key(field::STATUS_CODE, WireType::Varint, buffer);
    encode_varint(NOT_FOUND, buffer);
    text(buffer, field::STATUS_MESSAGE, MESSAGE);
}

/// A version is as long as any other.
const VERSION_LEN: usize = 16;

fn begin(buffer: &mut BytesMut, number: u32, len: usize) {
    encode_key(number, WireType::LengthDelimited, buffer);
    encode_varint(u64::try_from(len).unwrap_or(u64::MAX), buffer);
}

fn text(buffer: &mut BytesMut, number: u32, text: &str) {
    begin(buffer, number, text.len());
    buffer.put_slice(text.as_bytes());
}

fn text_len(number: u32, text: &str) -> usize {
    field_len(number, text.len())
}

fn field_len(number: u32, len: usize) -> usize {
    key_len(number) + encoded_len_varint(u64::try_from(len).unwrap_or(u64::MAX)) + len
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use xds_proto::envoy::service::discovery::v3 as wire;

    use super::*;
    use crate::push::batch::Batches;
    use crate::snapshot::set::Set;

    fn bytes(mut writer: Writer) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = writer.chunk() {
            assert!(chunk.len() < 2 * CHUNK || all.is_empty() || chunk.len() > LARGE);
            all.extend_from_slice(&chunk);
        }
        assert_eq!(all.len(), writer.len);
        let len: [u8; 4] = all[1..5].try_into().unwrap();
        assert_eq!((all[0], u32::from_be_bytes(len)), (0, u32::try_from(all.len() - 5).unwrap()));
        all.split_off(5)
    }

    fn resources() -> Vec<Arc<Resource>> {
        let lengths = [0, 10, LARGE - 1, LARGE, 3 * CHUNK, 127, 128, 5000, 5000, 5000, 5000];
        let make = |(at, len): (usize, usize)| Arc::new(Resource::new(format!("name-{at}"), &"x".repeat(len)));
        lengths.into_iter().enumerate().map(make).collect()
    }

    #[test]
    fn an_incremental_answer_is_what_the_generated_message_says() {
        let answer = Answer {
            version: Version::of(b"v"),
            nonce: 7,
            resources: resources().into(),
            removed: vec!["gone".into(), "too".into()],
            ..Answer::default()
        };
        let message = wire::DeltaDiscoveryResponse::decode(bytes(Writer::new(answer, "me")).as_slice()).unwrap();
        assert_eq!(message.system_version_info, Version::of(b"v").to_string());
        assert_eq!((message.nonce.as_str(), message.type_url.as_str()), ("7", Kind::Cluster.type_url()));
        assert_eq!(message.removed_resources, ["gone", "too"]);
        assert_eq!(message.control_plane.unwrap().identifier, "me");
        assert_eq!(message.resources.len(), resources().len());
        for (sent, original) in message.resources.iter().zip(resources()) {
            assert_eq!((sent.name.as_str(), sent.version.clone()), (original.name.as_ref(), original.version.to_string()));
            assert_eq!(sent.resource.as_ref().unwrap().encode_to_vec(), original.any);
        }
    }

    #[test]
    fn what_many_are_sent_is_what_one_is_sent() {
        for resources in [resources(), resources().split_off(9)] {
            let set = Arc::new(Set::new(resources));
            let batch = Batches::default().share((None, &set), None, usize::MAX, set.as_slice());
            let of = |resources| bytes(Writer::new(Answer { resources, ..Answer::default() }, "me"));
            assert_eq!(of(Resources::Page(batch, 0)), of(set.as_slice().to_vec().into()));
        }
    }

    #[test]
    fn a_full_answer_is_what_the_generated_message_says() {
        let removed = vec!["gone".into()];
        let answer =
            Answer { dialect: Dialect::Sotw, kind: Kind::Route, nonce: 8, resources: resources().into(), removed, ..Answer::default() };
        let message = wire::DiscoveryResponse::decode(bytes(Writer::new(answer, "me")).as_slice()).unwrap();
        assert_eq!((message.nonce.as_str(), message.type_url.as_str()), ("8", Kind::Route.type_url()));
        assert_eq!(message.control_plane.unwrap().identifier, "me");
        let [error] = &message.resource_errors[..] else { panic!("{:?}", message.resource_errors) };
        assert_eq!(error.resource_name.as_ref().unwrap().name, "gone");
        assert_eq!(error.error_detail.as_ref().unwrap().code, 5);
        let sent: Vec<_> = message.resources.iter().map(prost::Message::encode_to_vec).collect();
        assert_eq!(sent, resources().iter().map(|resource| resource.any.to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn an_empty_answer_is_one() {
        let message =
            wire::DiscoveryResponse::decode(bytes(Writer::new(Answer { dialect: Dialect::Sotw, ..Answer::default() }, "")).as_slice());
        assert!(message.unwrap().resources.is_empty());
    }
}
