//! What is wrong with a resource, and where: `Invalid` is one fault, `Faults` all of them, `Parser` collects them.
//!
//! A parser states a problem where it stands; the path is kept by whoever called it. Parsing goes on after a fault, so that
//! an operator sees all faults of a file at once: a parser that cannot build its value says why and returns `None`.

/// Certificates and authorities by name.
mod secret;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use prost_types::{Any, Duration as WireDuration};
use xds_proto::any::{self, UnpackError};

use crate::config::source::ResourceFile;
use crate::xds::resource::Kind;

pub use secret::StaticSecret;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A field.
    Field(Cow<'static, str>),
    /// An entry of a list.
    Index(usize),
    /// An entry of a map.
    Key(String),
}

/// One thing that is wrong: where, and what the rule is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// From the resource inwards; empty for the resource as a whole.
    pub path: Vec<Segment>,
    /// What is wrong, in lower case and without a full stop.
    pub problem: String,
}

impl Invalid {
    /// The path as an operator would write it.
    pub fn place(&self) -> String {
        let mut place = String::new();
        for segment in &self.path {
            let dot = if place.is_empty() { "" } else { "." };
            place.push_str(&match segment {
                Segment::Field(name) => format!("{dot}{name}"),
                Segment::Index(index) => format!("[{index}]"),
                Segment::Key(key) => format!("[{key:?}]"),
            });
        }
        place
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place().as_str() {
            "" => f.write_str(&self.problem),
            place => write!(f, "{place}: {}", self.problem),
        }
    }
}

impl std::error::Error for Invalid {}

/// All that is wrong with a file or a resource; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    list: Vec<Invalid>,
    warnings: Vec<Invalid>,
}

/// More lines than this are not a list for a person any more.
const SHOWN_FAULTS: usize = 100;

impl Faults {
    /// One fault of the whole.
    pub fn one(problem: impl fmt::Display) -> Self {
        Self { list: vec![Invalid { path: Vec::new(), problem: problem.to_string() }], warnings: Vec::new() }
    }

    /// The faults, in the order of the file.
    pub fn list(&self) -> &[Invalid] {
        &self.list
    }

    /// What would be without effect, were nothing wrong. A field that is spelled wrong is here; that another is missing for it is
    /// a fault.
    pub fn warnings(&self) -> &[Invalid] {
        &self.warnings
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.list.iter().take(SHOWN_FAULTS).enumerate() {
            let line_end = if position == 0 { "" } else { "\n" };
            write!(f, "{line_end}{fault}")?;
        }
        match self.list.len().checked_sub(SHOWN_FAULTS) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\n... and {more} more"),
        }
    }
}

impl std::error::Error for Faults {}

/// Collects faults and warnings while a resource is parsed, and knows where the parsers are.
#[derive(Debug, Default)]
pub struct Parser {
    path: Vec<Segment>,
    faults: Vec<Invalid>,
    warnings: Vec<Invalid>,
    clusters: Option<HashSet<String>>,
    secrets: HashMap<String, StaticSecret>,
    server: bool,
    served: HashMap<String, StaticSecret>,
    named: Named,
}

/// Resources that come from elsewhere: from a server, unless from a file.
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// Route tables; known even where the rest waits for secrets.
    pub tables: BTreeSet<String>,
    /// All scopes that there are.
    pub scopes: bool,
    /// Those of any type that come from a file, and which.
    pub files: BTreeMap<(Kind, String), ResourceFile>,
}

impl Parser {
    /// Parses one resource or file. Names of clusters are not checked: they may come later.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on [`Parser::cluster`] refuses names that are not among these.
    pub fn know_clusters(&mut self, names: impl IntoIterator<Item = String>) {
        self.clusters = Some(names.into_iter().collect());
    }

    /// From now on [`Parser::secret`] finds this one. `false` if there is one of the name already.
    pub fn know_secret(&mut self, name: String, secret: StaticSecret) -> bool {
        self.secrets.insert(name, secret).is_none()
    }

    /// The static secret of a name.
    pub fn secret(&self, name: &str) -> Option<StaticSecret> {
        self.secrets.get(name).cloned()
    }

    /// There is a server to ask for resources.
    pub fn know_server(&mut self) {
        self.server = true;
    }

    /// Whether there is a server to ask for resources.
    pub fn has_server(&self) -> bool {
        self.server
    }

    /// Secrets from elsewhere that are here already.
    pub fn serve_secrets(&mut self, known: impl IntoIterator<Item = (String, StaticSecret)>) {
        self.served = known.into_iter().collect();
    }

    /// A secret from elsewhere; `None` if it is not here yet, which is no fault.
    pub fn served_secret(&mut self, name: &str) -> Option<StaticSecret> {
        self.named.secrets.insert(name.to_owned());
        self.served.get(name).cloned()
    }

    /// Routes of this name come from elsewhere.
    pub fn served_table(&mut self, name: &str) {
        self.named.tables.insert(name.to_owned());
    }

    /// Scopes come from elsewhere.
    pub fn served_scopes(&mut self) {
        self.named.scopes = true;
    }

    /// A resource comes from a file.
    pub fn refer(&mut self, kind: Kind, name: &str, file: ResourceFile) {
        self.named.files.insert((kind, name.to_owned()), file);
    }

    /// Whether resources come from files.
    pub fn has_files(&self) -> bool {
        !self.named.files.is_empty()
    }

    /// What comes from elsewhere, and whether all of its secrets are here.
    pub fn named(&self) -> (Named, bool) {
        (self.named.clone(), self.named.secrets.iter().all(|name| self.served.contains_key(name)))
    }

    /// Accepts any name of a cluster until [`Parser::recall_clusters`].
    pub fn forget_clusters(&mut self) -> Option<HashSet<String>> {
        self.clusters.take()
    }

    /// Knows again what [`Parser::forget_clusters`] returned.
    pub fn recall_clusters(&mut self, clusters: Option<HashSet<String>>) {
        self.clusters = clusters;
    }

    /// The value, if nothing was wrong, and what is to be told all the same.
    pub fn finish<T>(self, value: Option<T>) -> Result<(T, Vec<Invalid>), Faults> {
        match value {
            Some(value) if self.faults.is_empty() => Ok((value, self.warnings)),
            // A parser that returns nothing has said why; should one not have, the operator still learns that it was refused.
            _ if self.faults.is_empty() => Err(Faults::one("refused")),
            _ => Err(Faults { list: self.faults, warnings: self.warnings }),
        }
    }

    /// Whether anything was wrong so far.
    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// Parses inside a field.
    pub fn at<T>(&mut self, field: &'static str, parse: impl FnOnce(&mut Self) -> T) -> T {
        self.inside(Segment::Field(Cow::Borrowed(field)), parse)
    }

    /// Parses inside an entry of a list.
    pub fn at_index<T>(&mut self, index: usize, parse: impl FnOnce(&mut Self) -> T) -> T {
        self.inside(Segment::Index(index), parse)
    }

    /// Parses inside an entry of a map.
    pub fn at_key<T>(&mut self, key: &str, parse: impl FnOnce(&mut Self) -> T) -> T {
        self.inside(Segment::Key(key.to_owned()), parse)
    }

    /// Parses each entry of a list field; entries that could not be parsed are left out (and have been refused).
    pub fn each<W, T>(&mut self, field: &'static str, entries: &[W], mut parse: impl FnMut(&W, &mut Self) -> Option<T>) -> Vec<T> {
        self.at(field, |parser| {
            let parsed = entries.iter().enumerate();
            parsed.filter_map(|(index, entry)| parser.at_index(index, |parser| parse(entry, parser))).collect()
        })
    }

    fn inside<T>(&mut self, segment: Segment, parse: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let value = parse(self);
        self.path.pop();
        value
    }

    /// States a fault of what is being parsed. Returns `None`, so that a parser can end with it.
    pub fn refuse<T>(&mut self, problem: impl fmt::Display) -> Option<T> {
        self.faults.push(Invalid { path: self.path.clone(), problem: problem.to_string() });
        None
    }

    /// States a fault of a field.
    pub fn refuse_at<T>(&mut self, field: &'static str, problem: impl fmt::Display) -> Option<T> {
        self.at(field, |parser| parser.refuse(problem))
    }

    /// States a fault of a field that is set although it is not supported.
    pub fn unsupported(&mut self, field: &'static str, is_set: bool) {
        if is_set {
            self.refuse_at::<()>(field, "not supported");
        }
    }

    /// States that what is being parsed is accepted but has no effect, and what that means.
    pub fn warn(&mut self, meaning: impl fmt::Display) {
        self.warnings.push(Invalid { path: self.path.clone(), problem: meaning.to_string() });
    }

    /// States that a field, if set, is accepted but has no effect, and what that means.
    pub fn ignored(&mut self, field: &'static str, is_set: bool, meaning: &'static str) {
        if is_set {
            self.at(field, |parser| parser.warn(format_args!("ignored: {meaning}")));
        }
    }

    /// Adds a fault found elsewhere, whose path is text, below the present one.
    pub fn refuse_below(&mut self, path: &str, problem: impl fmt::Display) {
        self.faults.push(Invalid { path: self.path_to(path), problem: problem.to_string() });
    }

    /// Adds a warning found elsewhere, whose path is text, below the present one.
    pub fn warn_below(&mut self, path: &str, meaning: impl fmt::Display) {
        self.warnings.push(Invalid { path: self.path_to(path), problem: meaning.to_string() });
    }

    /// Whether there is a fault or a warning at this path, above or below it.
    pub fn has_spoken_of(&self, path: &str) -> bool {
        let spoken = self.faults.iter().chain(&self.warnings).map(Invalid::place);
        spoken.into_iter().any(|place| is_within(&place, path) || is_within(path, &place))
    }

    fn path_to(&self, path: &str) -> Vec<Segment> {
        let tail = (!path.is_empty()).then(|| Segment::Field(Cow::Owned(path.to_owned())));
        self.path.iter().cloned().chain(tail).collect()
    }

    /// The value of a result; an error is a fault.
    pub fn accept<T, E: fmt::Display>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_or_else(|error| self.refuse(error), Some)
    }

    /// A field that must be set.
    pub fn required<'a, T>(&mut self, field: &'static str, value: Option<&'a T>) -> Option<&'a T> {
        value.or_else(|| self.refuse_at(field, "required"))
    }

    /// An enum's value; one that does not exist is a fault.
    pub fn choice<E: TryFrom<i32>>(&mut self, field: &'static str, number: i32) -> Option<E> {
        let chosen = E::try_from(number).ok();
        chosen.or_else(|| self.refuse_at(field, format_args!("{number} is not a value of this enum")))
    }

    /// A duration, if the field is set. A negative or malformed one is a fault.
    pub fn duration(&mut self, field: &'static str, wire: Option<&WireDuration>) -> Option<Duration> {
        let wire = wire?;
        let seconds = u64::try_from(wire.seconds).ok().filter(|seconds| *seconds <= LONGEST_SECONDS);
        let nanos = u32::try_from(wire.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        match (seconds, nanos) {
            (Some(seconds), Some(nanos)) => Some(Duration::new(seconds, nanos)),
            _ => self.refuse_at(field, format_args!("{}s {}ns is not between 0 and {LONGEST_SECONDS}s", wire.seconds, wire.nanos)),
        }
    }

    /// A duration where 0 means off: `default` if the field is not set, `None` if it is 0.
    pub fn limit(&mut self, field: &'static str, wire: Option<&WireDuration>, default: Option<Duration>) -> Option<Duration> {
        match self.duration(field, wire) {
            Some(Duration::ZERO) => None,
            Some(duration) => Some(duration),
            None => default,
        }
    }

    /// The message inside an `Any` whose type the caller has chosen by its type URL.
    pub fn unpack<M: prost::Message + prost::Name + Default>(&mut self, packed: &Any) -> Option<M> {
        match any::unpack(packed) {
            Ok(message) => Some(message),
            Err(UnpackError::Malformed { name, source }) => self.refuse(format_args!("not a {name}: {source}")),
            Err(error @ UnpackError::OtherType { .. }) => self.refuse(error),
        }
    }

    /// Refuses an `Any` of a type that is not available, and says which are.
    pub fn refuse_type<T>(&mut self, what: &str, packed: &Any, available: &str) -> Option<T> {
        self.refuse(format_args!("{what} of type {:?} is not available; there are: {available}", packed.type_url))
    }

    /// Refuses the name of a cluster that must exist and does not.
    pub fn cluster(&mut self, field: &'static str, name: &str) {
        if name.is_empty() {
            self.refuse_at::<()>(field, "required");
        } else if self.clusters.as_ref().is_some_and(|known| !known.contains(name)) {
            self.refuse_at::<()>(field, format_args!("there is no cluster {name:?}"));
        }
    }
}

/// Whether `place` is `outer` or a part of it.
fn is_within(place: &str, outer: &str) -> bool {
    let rest = place.strip_prefix(outer);
    rest.is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The full name of the message in an `Any`; empty if it has none.
pub fn type_name(packed: &Any) -> &str {
    any::type_name(&packed.type_url).unwrap_or_default()
}

/// As long as protobuf's Duration allows: about 10000 years.
const LONGEST_SECONDS: u64 = 315_576_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(parse: impl FnOnce(&mut Parser)) -> String {
        let mut parser = Parser::new();
        parse(&mut parser);
        parser.finish(Some(())).unwrap_err().to_string()
    }

    #[test]
    fn a_fault_says_where_and_what() {
        let shown = faults(|parser| {
            parser.at("listeners", |parser| parser.at_index(3, |parser| parser.refuse_at::<()>("address", "required")));
        });
        assert_eq!(shown, "listeners[3].address: required");
    }

    #[test]
    fn a_fault_of_the_whole_has_no_path() {
        assert_eq!(Faults::one("empty").to_string(), "empty");
    }

    #[test]
    fn all_faults_are_told_together() {
        let shown = faults(|parser| {
            parser.each("ports", &[1, 2, 3], |port, parser| match port {
                2 => Some(()),
                port => parser.refuse(format_args!("{port} is odd")),
            });
        });
        assert_eq!(shown, "ports[0]: 1 is odd\nports[2]: 3 is odd");
    }

    #[test]
    fn a_long_list_of_faults_is_cut() {
        let shown = faults(|parser| (0..SHOWN_FAULTS + 5).for_each(|_| parser.refuse::<()>("x").unwrap_or_default()));
        assert!(shown.ends_with("x\n... and 5 more"), "{shown}");
    }

    #[test]
    fn a_warning_does_not_refuse() {
        let mut parser = Parser::new();
        parser.ignored("verbose", true, "spans have no events");
        let ((), warnings) = parser.finish(Some(())).unwrap();
        assert_eq!(warnings[0].to_string(), "verbose: ignored: spans have no events");
    }

    #[test]
    fn a_negative_duration_is_refused() {
        let wire = WireDuration { seconds: -1, nanos: 0 };
        let shown = faults(|parser| assert_eq!(parser.duration("timeout", Some(&wire)), None));
        assert_eq!(shown, "timeout: -1s 0ns is not between 0 and 315576000000s");
    }

    #[test]
    fn an_unknown_cluster_is_refused_once_clusters_are_known() {
        let mut parser = Parser::new();
        parser.cluster("cluster", "later");
        assert!(!parser.has_faults());
        parser.know_clusters(["web".to_owned()]);
        parser.cluster("cluster", "web");
        parser.cluster("cluster", "we");
        assert_eq!(parser.finish(Some(())).unwrap_err().to_string(), "cluster: there is no cluster \"we\"");
    }
}
