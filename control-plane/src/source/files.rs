//! Folders of YAML: every object of every file below them, as far as it is good.
//!
//! A document that is wrong hides no other, and takes nothing away: what was good before stays until the document is mended or gone.
//! Where nothing was good before, who may do what is not left open: see [`manifest::stand_in`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::model::fault::Fault;
use crate::model::mesh::Object;
use crate::model::name::Key;
use crate::source::{document, manifest, yaml};

/// A larger file is no configuration that somebody wrote.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;
/// More files are a folder that was not meant.
const MOST_FILES: usize = 20_000;
/// Folders within one another.
const DEEPEST: usize = 32;

/// An object, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// As it is written.
    pub value: Value,
    /// What it means.
    pub object: Object,
    /// The file.
    pub path: PathBuf,
    /// The line where it begins.
    pub line: usize,
}

/// What is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// The file or folder.
    pub path: PathBuf,
    /// The line; 0 for the whole of it.
    pub line: usize,
    /// The object, where that can be told.
    pub key: Option<Key>,
    /// What is wrong.
    pub fault: Fault,
    /// It may say who may do what, and nothing can stand in for it.
    pub may_be_policy: bool,
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        match &self.key {
            Some(key) => write!(f, ": {key}: {}", self.fault),
            None => write!(f, ": {}", self.fault),
        }
    }
}

/// The folders.
#[derive(Debug, Default)]
pub struct Files {
    roots: Vec<PathBuf>,
    trust_domain: Option<Arc<str>>,
    objects: BTreeMap<Key, Written>,
    faults: Vec<FileFault>,
}

/// What a look at the folders has found.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// Objects that are new or different, and keys of those that are gone.
    pub changes: Vec<(Key, Option<Written>)>,
    /// What is wrong and was not so at the last look.
    pub news: Vec<FileFault>,
}

impl Files {
    /// Nothing has been looked at yet.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, ..Self::default() }
    }

    /// Which agree with a trust domain.
    pub fn of(self, trust_domain: Arc<str>) -> Self {
        Self { trust_domain: Some(trust_domain), ..self }
    }

    /// All that is good.
    pub fn objects(&self) -> &BTreeMap<Key, Written> {
        &self.objects
    }

    /// All that is wrong.
    pub fn faults(&self) -> &[FileFault] {
        &self.faults
    }

    /// Looks at everything. This takes as long as the disk does.
    pub fn look(&mut self) -> Found {
        let mut seen = Look { trust_domain: self.trust_domain.clone(), ..Look::default() };
        for root in &self.roots {
            seen.folder(root, 0, &mut BTreeSet::new());
        }
        let Look { mut objects, faults, broken, instead, .. } = seen;
        for (key, before) in &self.objects {
            // Its document may be the one that cannot be read, or be in a folder that cannot.
            let mut around = before.path.ancestors().filter_map(|path| broken.get(path));
            if !objects.contains_key(key) && around.any(|keys| keys.is_empty() || keys.contains(key)) {
                objects.insert(key.clone(), before.clone());
            }
        }
        for (key, written) in instead {
            objects.entry(key).or_insert(written);
        }
        let gone = self.objects.keys().filter(|key| !objects.contains_key(*key)).map(|key| (key.clone(), None));
        let is_same = |key: &Key, written: &Written| self.objects.get(key).is_some_and(|before| before.value == written.value);
        let new = objects.iter().filter(|(key, written)| !is_same(key, written)).map(|(key, written)| (key.clone(), Some(written.clone())));
        let changes = gone.chain(new).collect();
        let news = faults.iter().filter(|fault| !self.faults.contains(fault)).cloned().collect();
        (self.objects, self.faults) = (objects, faults);
        Found { changes, news }
    }
}

#[derive(Default)]
struct Look {
    trust_domain: Option<Arc<str>>,
    objects: BTreeMap<Key, Written>,
    faults: Vec<FileFault>,
    /// Files with something wrong: the objects that are wrong, none if that cannot be told.
    broken: BTreeMap<PathBuf, BTreeSet<Key>>,
    /// What objects that are wrong are where nothing was good before.
    instead: BTreeMap<Key, Written>,
    files: usize,
}

impl Look {
    fn folder(&mut self, path: &Path, depth: usize, above: &mut BTreeSet<PathBuf>) {
        let listed = std::fs::read_dir(path).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        let entries: Vec<PathBuf> = match listed {
            Ok(entries) => entries,
            Err(error) => return self.fault(path, 0, None, Fault::at("", error)),
        };
        // A link may lead to a folder above.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if above.contains(&real) {
            // What is there is read anyway.
            let fault = Fault::at("", "a link to a folder above");
            return self.note(FileFault { path: path.to_owned(), line: 0, key: None, fault, may_be_policy: false });
        }
        if depth > DEEPEST {
            return self.fault(path, 0, None, Fault::at("", format_args!("more than {DEEPEST} folders within one another")));
        }
        above.insert(real.clone());
        let mut entries = entries;
        entries.sort();
        for entry in entries {
            // Kubernetes' mounts have the data in `..data`, and links to it beside that.
            // The system's own, which is root's.
            let is_hidden = |name: &str| name.starts_with('.') || name == "lost+found";
            let hidden = entry.file_name().and_then(|name| name.to_str()).is_none_or(is_hidden);
            let is_yaml =
                entry.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| matches!(ending, "yaml" | "yml" | "json"));
            match std::fs::metadata(&entry) {
                _ if hidden => {}
                Ok(found) if found.is_dir() => self.folder(&entry, depth.saturating_add(1), above),
                Ok(found) if found.is_file() && is_yaml => self.file(&entry),
                Ok(_) => {}
                Err(error) if is_yaml => self.fault(&entry, 0, None, Fault::at("", error)),
                Err(_) => {}
            }
        }
        above.remove(&real);
    }

    fn file(&mut self, path: &Path) {
        self.files = self.files.saturating_add(1);
        if self.files > MOST_FILES {
            if self.files == MOST_FILES.saturating_add(1) {
                self.fault(
                    path,
                    0,
                    None,
                    Fault::at("", format_args!("this file and those after it are left out: there are more than {MOST_FILES}")),
                );
            }
            return;
        }
        match read(path) {
            Ok(text) => {
                for document in yaml::documents(&text) {
                    match document {
                        Ok(document) => self.document(path, &document),
                        Err(fault) => self.fault(path, fault.line, None, Fault::at("", fault.problem)),
                    }
                }
            }
            Err(problem) => self.fault(path, 0, None, Fault::at("", problem)),
        }
    }

    /// An object, or a list of them, as `kubectl get -o yaml` writes it.
    fn document(&mut self, path: &Path, document: &yaml::Document) {
        let is_list = document.value.get("items").is_some();
        for (at, value) in document::objects(document.value.clone()).into_iter().enumerate() {
            let prefix = if is_list { format!("items[{at}]") } else { String::new() };
            self.object(path, value, |field| match (prefix.as_str(), field) {
                ("", field) => document.line_of(field),
                (prefix, "") => document.line_of(prefix),
                (prefix, field) => document.line_of(&format!("{prefix}.{field}")),
            });
        }
    }

    fn object(&mut self, path: &Path, value: Value, line_of: impl Fn(&str) -> usize) {
        let agrees = |value| self.trust_domain.as_deref().map_or(Ok(()), |domain| manifest::agrees(value, domain));
        match manifest::read(&value).and_then(|read| agrees(&value).map(|()| read)) {
            Ok((key, object)) => {
                if let Some(first) = self.objects.get(&key) {
                    let problem = format!("it is in {}:{} already, which stays", first.path.display(), first.line);
                    return self.fault(path, line_of(""), Some(key), Fault::at("", problem));
                }
                let written = Written { value, object, path: path.to_owned(), line: line_of("") };
                self.objects.insert(key, written);
            }
            Err(faults) => {
                let key = manifest::key(&value).ok();
                let may_be_policy = manifest::has_no_stand_in(&value);
                for fault in faults {
                    let line = line_of(&fault.path);
                    self.note(FileFault { path: path.to_owned(), line, key: key.clone(), fault, may_be_policy });
                }
                if let Some((key, object)) = manifest::stand_in(&value) {
                    self.instead.insert(key, Written { value, object, path: path.to_owned(), line: line_of("") });
                }
            }
        }
    }

    /// Without a key it may be any object.
    fn fault(&mut self, path: &Path, line: usize, key: Option<Key>, fault: Fault) {
        let may_be_policy = key.is_none();
        self.note(FileFault { path: path.to_owned(), line, key, fault, may_be_policy });
    }

    fn note(&mut self, fault: FileFault) {
        // Something else than ours hides none of ours.
        if fault.key.is_none() && !fault.may_be_policy {
            self.faults.push(fault);
            return;
        }
        let known = self.broken.entry(fault.path.clone());
        match known {
            std::collections::btree_map::Entry::Vacant(vacant) => drop(vacant.insert(fault.key.iter().cloned().collect())),
            std::collections::btree_map::Entry::Occupied(mut occupied) if fault.key.is_none() => occupied.get_mut().clear(),
            std::collections::btree_map::Entry::Occupied(mut occupied) => {
                // Once it cannot be told which objects are wrong, it may be any.
                if !occupied.get().is_empty() {
                    occupied.get_mut().extend(fault.key.iter().cloned());
                }
            }
        }
        self.faults.push(fault);
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let limit = LARGEST_FILE.saturating_add(1);
    let length = File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)).map_err(|error| error.to_string())?;
    if u64::try_from(length).map_or(true, |length| length > LARGEST_FILE) {
        return Err(format!("larger than {LARGEST_FILE} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
