//! What another component for a service means for the others: how its contract differs from that of the one
//! that serves, in WIT's words, and who calls what has changed.

use serde::{Deserialize, Serialize};
use skep_core::contract::{Change, Side, What, changes};
use skep_core::name::ServiceName;

use super::running::Roster;
use crate::artifact::{Artifact, Need, required_grants};

/// A difference between two versions of a component that others may notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ContractChange {
    /// The service that gets the component.
    pub service: ServiceName,
    /// "`find` of shop:catalog/products@0.2.0 lost parameter `limit`"
    pub change: String,
    /// Those that call what has changed: "storefront r3".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
}

/// How the component differs from the one that serves; nothing if there is no such service.
pub(super) fn contract_changes(
    roster: &Roster,
    service: &ServiceName,
    artifact: &Artifact,
) -> Vec<ContractChange> {
    let Some(part) = roster.application.parts.get(service) else {
        return Vec::new();
    };
    let needs = required_grants(artifact.description());
    // What everybody has, and what runtimes import without using it, concerns nobody.
    let matters = |change: &Change| {
        let name = change.interface.text();
        let is_standard = change.side == Side::Import && name.starts_with("wasi:");
        let is_granted = || {
            let mut needs = needs.iter().filter(|need| need.import == name);
            needs.any(|need| matches!(need.need, Need::Required { .. } | Need::Optional { .. }))
        };
        !is_standard || change.what == What::New && is_granted()
    };
    let before = &part.artifact.description().contract;
    let all = changes(before, &artifact.description().contract);
    let told = |change: Change| ContractChange {
        service: service.clone(),
        used_by: used_by(roster, service, &change),
        change: change.to_string(),
    };
    all.into_iter().filter(matters).map(told).collect()
}

/// Those whose imports are satisfied by what has changed.
fn used_by(roster: &Roster, service: &ServiceName, change: &Change) -> Vec<String> {
    if change.side == Side::Import || change.what == What::New {
        return Vec::new();
    }
    let interface = match &change.what {
        What::Version { before } => before,
        _ => &change.interface,
    };
    let links = roster.application.links.iter();
    let calls = links.filter(|link| {
        let export = skep_core::contract::InterfaceName::new(&link.export);
        link.callee == *service && (export.fits(interface) || interface.fits(&export))
    });
    let caller = |caller: &ServiceName| {
        let member = roster.members.get(caller)?;
        Some(format!("{caller} r{}", member.number()))
    };
    let mut callers: Vec<String> = calls.filter_map(|link| caller(&link.caller)).collect();
    callers.dedup();
    callers
}
