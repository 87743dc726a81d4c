//! What serves when a host starts: what was acknowledged last, but for what has been changed on disk
//! since.
//!
//! Three things are compared for each service: what was recorded, what lay on disk when the manifest
//! was last applied (the base), and what lies there now. What is now as it was then has not been
//! touched, so that the record holds, even if something was deployed from elsewhere. What differs
//! from then was changed by somebody who wants it, so that it is taken. The component and the
//! settings are judged apart: who raises a limit does not mean to go back to an older component.
use std::collections::BTreeMap;
use std::fmt;

use super::{Generation, Placed};
use crate::digest::Digest;
use crate::manifest::settings::Settings;
use crate::manifest::{Manifest, Service};
use crate::name::ServiceName;

/// What a host finds on disk when it starts.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// As it was read, to see at a glance that it is the same.
    pub text: &'a str,
    pub manifest: &'a Manifest,
    /// What each component's file is. A service that is missing here has no such file.
    pub components: &'a BTreeMap<ServiceName, Digest>,
}

/// What one service of the manifest starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    /// Whose component. If the record's, there is one.
    pub component: Source,
    /// Whose settings. If both are the record's, so is the revision's number.
    pub settings: Source,
    pub why: Why,
}

/// Which of the two holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// What was acknowledged last.
    Record,
    /// What the manifest says now, and the file that it names.
    Disk,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// Entry and file are as when they were last applied, or the file is what is recorded.
    Unchanged,
    /// So is the entry; the file is not there any more, but the component has been kept.
    FileGone,
    /// These settings have been changed since, and the file has not.
    Settings(Vec<String>),
    /// The file has been changed since, or the entry names another.
    Component { was: Digest, is: Option<Digest> },
    /// The service was not there when the manifest was last applied.
    New,
    /// The manifest that was last applied cannot be read any more: what it said is not known.
    BaseUnreadable,
}

/// What each service of the manifest starts with; services that it does not name do not start.
/// `last` is the generation that was acknowledged last.
pub fn resume(last: &Generation, found: Found<'_>) -> BTreeMap<ServiceName, Resumed> {
    let base = Base::of(last, found);
    let services = found.manifest.services.iter();
    let decide = |(name, service): (&ServiceName, &Service)| {
        let resumed = match (last.services.get(name), last.base.components.get(name)) {
            (Some(placed), Some(was)) => {
                let file = File {
                    was: *was,
                    is: found.components.get(name).copied(),
                };
                base.decide(service, placed, file)
            }
            _ => Resumed::from_disk(Why::New),
        };
        (name.clone(), resumed)
    };
    services.map(decide).collect()
}

/// What a component's file was when it was last applied, and is now.
struct File {
    was: Digest,
    is: Option<Digest>,
}

/// The manifest as it was last applied.
enum Base {
    /// It is the same as now, to the byte.
    Same,
    Other(Box<Manifest>),
    Unreadable,
}

impl Base {
    fn of(last: &Generation, found: Found<'_>) -> Self {
        let text = last.text_of(&last.base.manifest);
        if text == found.text {
            return Self::Same;
        }
        match Manifest::parse(text) {
            Ok(manifest) => Self::Other(Box::new(manifest)),
            Err(_) => Self::Unreadable,
        }
    }

    fn decide(&self, service: &Service, placed: &Placed, file: File) -> Resumed {
        let base = match self {
            Self::Same => Some(service),
            Self::Other(manifest) => manifest.services.get(&service.name.value),
            Self::Unreadable => return Resumed::from_disk(Why::BaseUnreadable),
        };
        let Some(base) = base else {
            return Resumed::from_disk(Why::New);
        };
        let File { was, is } = file;
        let gone = is.is_none() && service.component == base.component;
        // What was built since and deployed from there is recorded already.
        if !gone && is != Some(was) && is != Some(placed.component) {
            return Resumed::from_disk(Why::Component { was, is });
        }
        let changed = changed(&of_revision(base), &of_revision(service));
        let (settings, why) = match (changed.is_empty(), gone) {
            (false, _) => (Source::Disk, Why::Settings(changed)),
            (true, true) => (Source::Record, Why::FileGone),
            (true, false) => (Source::Record, Why::Unchanged),
        };
        Resumed {
            component: Source::Record,
            settings,
            why,
        }
    }
}

/// Where the file lies and how it is made is not the revision's: its bytes are.
fn of_revision(service: &Service) -> Settings {
    let mut settings = service.settings();
    settings.retain(|key, _| key != "component" && !key.starts_with("build."));
    settings
}

fn changed(old: &Settings, new: &Settings) -> Vec<String> {
    let mut keys: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| old.get(key) != new.get(key));
    keys
}

impl Resumed {
    fn from_disk(why: Why) -> Self {
        Self {
            component: Source::Disk,
            settings: Source::Disk,
            why,
        }
    }

    /// The revision that goes on as it was recorded, if it does.
    pub fn kept<'g>(&self, name: &ServiceName, last: &'g Generation) -> Option<&'g Placed> {
        let whole = (self.component, self.settings) == (Source::Record, Source::Record);
        last.services.get(name).filter(|_| whole)
    }
}

impl fmt::Display for Resumed {
    /// Continues "cart: ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Unchanged => f.write_str("as recorded"),
            Why::FileGone => f.write_str("as recorded; the component's file is not there any more"),
            Why::Settings(keys) => {
                write!(f, "the component as recorded, with new settings: {}", keys.join(", "))
            }
            Why::Component { was, is: Some(is) } => {
                write!(f, "from the manifest: its component was {was:?} and is {is:?} now")
            }
            Why::Component { was, is: None } => {
                write!(f, "from the manifest: its component was {was:?} and now is a file that is not there")
            }
            Why::New => f.write_str("from the manifest, which did not have it before"),
            Why::BaseUnreadable => f.write_str(
                "from the manifest: the one that was last applied cannot be read by this version of Skep",
            ),
        }
    }
}
