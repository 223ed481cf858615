//! What operators write: from text to objects, and from objects to the model.

/// Objects as they are written.
pub mod manifest;
/// YAML and JSON text.
pub mod yaml;
