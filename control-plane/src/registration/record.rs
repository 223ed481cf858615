use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::name::Name;

/// What is kept of a workload that was registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The `Workload`.
    pub object: Value,
    /// The token that it was registered by; none, if its certificate stood for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The control plane that has its stream, or had it.
    pub replica: String,
    /// How far it is.
    pub state: State,
}

/// How far a registration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its sidecar has not taken its listeners yet: nobody is sent there.
    Joining,
    /// It is an endpoint.
    Serving,
    /// It finishes what it has.
    Draining,
}

impl State {
    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

impl Record {
    /// Its account.
    pub fn account(&self) -> &str {
        account(&self.object)
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The account of a `Workload`.
pub(super) fn account(object: &Value) -> &str {
    object.pointer("/spec/serviceAccount").and_then(Value::as_str).unwrap_or_default()
}

/// Under which name it is kept.
pub(super) fn key(name: &Name) -> String {
    format!("{}/{}", name.namespace, name.name)
}

pub(super) fn name(key: &str) -> Option<Name> {
    key.split_once('/').map(|(namespace, name)| Name::new(namespace, name))
}
