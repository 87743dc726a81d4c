//! What a revision is made from. Two of one recipe would be the same revision.

use std::collections::BTreeMap;
use std::path::PathBuf;

use skep_core::link::LinkPolicy;
use skep_core::manifest::{self, Spanned};
use skep_core::name::ServiceName;
use skep_core::probation::Probation;
use skep_core::size::ByteSize;

use super::Application;
use crate::artifact::Digest;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recipe {
    component: Digest,
    /// Without what is of no account for the revision itself: where its file lies, how it is built, and
    /// after whom it starts.
    settings: manifest::Service,
    /// By import.
    links: BTreeMap<String, Linked>,
    /// `host.stack`
    stack: ByteSize,
}

/// What becomes of an import.
#[derive(Clone, Debug, PartialEq)]
struct Linked {
    callee: ServiceName,
    mutual: bool,
    policy: LinkPolicy,
}

impl Recipe {
    /// Of a service of the application; none if that has no such service.
    pub(crate) fn of(application: &Application, service: &ServiceName) -> Option<Recipe> {
        let part = application.parts.get(service)?;
        let mut settings = application.manifest.services.get(service)?.clone();
        settings.component = Spanned::new(PathBuf::new(), 0..0);
        settings.build = None;
        settings.after.clear();
        // Nor how it is watched.
        settings.probation = Probation::default();
        // Who answers is in `links`.
        settings.links.clear();
        let links = application.links.of(service).map(|link| {
            let linked = Linked {
                callee: link.callee.clone(),
                mutual: application.links.are_mutual(link),
                policy: application.manifest.link_policy(service, &link.callee),
            };
            (link.import.clone(), linked)
        });
        Some(Recipe {
            component: part.artifact.digest(),
            settings,
            links: links.collect(),
            stack: application.manifest.host.stack,
        })
    }
}
