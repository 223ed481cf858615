//! What operators write: from text to objects, and from objects to the model.

/// Which object a document is.
pub mod document;
/// Folders of YAML.
pub mod files;
/// Objects as they are written.
pub mod manifest;
/// Objects as YAML text.
pub mod print;
/// YAML and JSON text.
pub mod yaml;
