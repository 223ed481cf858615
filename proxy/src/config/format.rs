//! Envoy's substitution format (`%REQ(X)%`), parsed.
//!
//! Source: envoyproxy.io, "Access logging", section "Command operators".

/// A text with commands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Parts in order.
    pub items: Vec<FormatItem>,
}

/// A part of a [`Format`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatItem {
    /// As it is.
    Literal(String),
    /// A command, and the number of characters its value is cut to.
    Command(Command, Option<usize>),
}

/// What a command stands for. (To be listed in full by the parser's author.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `%PROTOCOL%`.
    Protocol,
}

/// Why a text is not a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError(String);

impl std::fmt::Display for FormatError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Format {
    /// Parses a text without commands; commands come with their parser.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text.contains('%') {
            return Err(FormatError(format!("{text:?} has commands, which are not parsed yet")));
        }
        Ok(Self { items: vec![FormatItem::Literal(text.to_owned())] })
    }
}
