//! Shows what came of a change of the running application; shared by the commands that make one.

use std::io::Write;

use serde::Serialize;
use skep_core::rollout::Exposure;

use super::{Exit, report, shadow};
use crate::control::{ControlError, Refused, Step};
use crate::deploy::{Changed, ContractChange, ServiceChange, Tried};

/// Says what has changed, or why nothing has.
pub(super) fn show<T: Serialize>(
    changed: Result<Result<T, Refused>, ControlError>,
    json: bool,
    tell: fn(&mut dyn Write, &T) -> std::io::Result<()>,
) -> Exit {
    let outcome = match changed {
        Ok(outcome) => outcome,
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let mut out = std::io::stdout().lock();
    let written = match &outcome {
        Ok(changed) if json => report::json(&mut out, changed),
        Ok(changed) => tell(&mut out, changed),
        Err(refused) if json => report::json(&mut out, refused),
        Err(refused) => {
            explain(refused);
            Ok(())
        }
    };
    match (outcome, written) {
        (_, Err(_)) => Exit::Failed,
        (Ok(_), Ok(())) => Exit::Ok,
        (Err(refused), Ok(())) => refused.exit(),
    }
}

/// A change for people.
pub(super) fn changed(out: &mut dyn Write, changed: &Changed) -> std::io::Result<()> {
    if changed.services.is_empty() {
        writeln!(out, "no service has another revision than before")?;
    }
    list(out, &changed.services)?;
    contract(out, &changed.contract)?;
    let (generation, ms) = (changed.generation, changed.took_ms);
    writeln!(out, "generation {generation} serves, after {ms} ms")
}

/// A trial for people.
pub(super) fn tried(out: &mut dyn Write, tried: &Tried) -> std::io::Result<()> {
    list(out, &tried.services)?;
    let (exposure, generation) = (tried.exposure, tried.generation);
    let rest = match exposure {
        Exposure::Share(_) => "the others",
        Exposure::Shadow(_) => "all requests",
    };
    writeln!(
        out,
        "on trial with {exposure}; generation {generation} serves {rest}"
    )?;
    found(out, tried)
}

/// What has been found of what got copies until now.
pub(super) fn found(out: &mut dyn Write, tried: &Tried) -> std::io::Result<()> {
    for found in &tried.found {
        writeln!(out)?;
        shadow::show(out, found)?;
    }
    Ok(())
}

fn contract(out: &mut dyn Write, changes: &[ContractChange]) -> std::io::Result<()> {
    for ContractChange {
        service,
        change,
        used_by,
    } in changes
    {
        match used_by.is_empty() {
            true => writeln!(out, "  {service}: {change}")?,
            false => writeln!(out, "  {service}: {change}, used by {}", used_by.join(", "))?,
        }
    }
    Ok(())
}

fn list(out: &mut dyn Write, services: &[ServiceChange]) -> std::io::Result<()> {
    for change in services {
        let service = &change.service;
        match (change.from, change.to) {
            (Some(from), Some(to)) => writeln!(out, "{service}: revision {from} → {to}")?,
            (None, Some(to)) => writeln!(out, "{service}: new, revision {to}")?,
            (Some(from), None) => writeln!(out, "{service}: removed, was revision {from}")?,
            (None, None) => {}
        }
    }
    Ok(())
}

/// Why nothing has changed.
pub(super) fn explain(refused: &Refused) {
    if !refused.contract.is_empty() {
        let mut stderr = std::io::stderr().lock();
        let _ = writeln!(stderr, "What others would notice:");
        let _ = contract(&mut stderr, &refused.contract);
    }
    if let Some(source) = &refused.source {
        report::mistakes(source, &refused.mistakes, &[]);
    }
    let step = match refused.step {
        Step::Read => "nothing was done",
        Step::Check => "refused at the check",
        Step::Build => "refused at the build",
        Step::Prove => "refused at its start",
        Step::Switch => "not switched",
    };
    let _ = writeln!(
        std::io::stderr(),
        "error: {step}: {}\nWhat served before serves on.",
        refused.detail
    );
}

impl Refused {
    fn exit(&self) -> Exit {
        match (self.step, self.status) {
            (_, 412) => Exit::Conflict,
            (Step::Check | Step::Build, 422) => Exit::Mistakes,
            (Step::Prove, _) => Exit::NotReady,
            _ => Exit::Failed,
        }
    }
}
