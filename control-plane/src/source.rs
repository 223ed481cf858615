//! What operators write: from text to objects, and from objects to the model.

/// YAML and JSON text.
pub mod yaml;
