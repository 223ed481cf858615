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
