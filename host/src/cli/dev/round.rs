//! One round: what was touched is built, and what came of it made what serves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use skep_core::change::Refusal;
use skep_core::generation::Reason;
use skep_core::name::ServiceName;
use skep_core::plan::Plan;

use super::super::building;
use super::super::project::{Project, Touched};
use super::super::run::What;
use super::super::{apply, change, report};
use super::{leave_alone, say};
use crate::artifact::Artifact;
use crate::control::Refused;
use crate::deploy::{self, ChangeError, Changed, DeployError, Running, Wanted};

/// What the builds of a round came to.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// How long that of each service took.
    took: BTreeMap<ServiceName, Duration>,
    failed: BTreeSet<ServiceName>,
}

impl Built {
    /// `cart built in 1.2 s`; of one that has no `build`, its name.
    fn name(&self, service: &ServiceName) -> String {
        match self.took.get(service) {
            Some(took) => format!("{service} built in {:.1} s", took.as_secs_f64()),
            None => service.to_string(),
        }
    }

    /// Says what was built, where nothing more will be said of it.
    pub(super) fn tell(&self) {
        for service in self.took.keys() {
            say(self.name(service));
        }
    }
}

/// Builds what was touched, one command after the other. Services of one command are built by running
/// it once.
pub(super) async fn build(project: &Project, touched: &Touched, serving: bool) -> Built {
    let mut built = Built::default();
    let colours = report::colours(&std::io::stderr());
    let done =
        |built: &Built, service| built.took.contains_key(service) || built.failed.contains(service);
    for service in &touched.services {
        let command = project.made(service).and_then(|made| made.command.as_ref());
        let Some(command) = command.filter(|_| !done(&built, service)) else {
            continue;
        };
        let together = || project.built_by(command);
        let touched = together().filter(|name| touched.services.contains(*name));
        let names: Vec<&str> = touched.map(ServiceName::as_str).collect();
        let names = names.join(", ");
        say(format_args!("building {names}"));
        match building::build(command, &project.directory, colours).await {
            Ok(took) => built
                .took
                .extend(together().map(|name| (name.clone(), took))),
            Err(error) => {
                building::show(&names, command, error);
                if serving {
                    say("What served before serves on.");
                }
                built.failed.extend(together().cloned());
            }
        }
    }
    built
}

/// What came of applying the manifest.
enum Applied {
    /// It was what serves.
    Nothing,
    /// It serves now.
    Changed(Plan, Changed),
    /// It does not fit what is on disk.
    Mistakes(DeployError),
    /// It does not serve.
    Refused(Plan, Refused),
}

/// Makes what lies on disk what serves, and says so.
pub(super) struct Rounds<'a> {
    what: &'a What,
    /// What lies on disk of these has been refused. It is tried again together with what changes next:
    /// two ends of an interface can only be replaced at once.
    refused: BTreeSet<ServiceName>,
}

impl Rounds<'_> {
    pub(super) fn new(what: &What) -> Rounds<'_> {
        Rounds {
            what,
            refused: BTreeSet::new(),
        }
    }

    /// Applies the manifest with all components that lie on disk. Says nothing if that is what serves.
    pub(super) async fn apply(&mut self, running: &Arc<Running>) {
        let applied = self.applied(running).await;
        self.told(applied);
    }

    /// What a round comes to, after its builds.
    pub(super) async fn change(
        &mut self,
        running: &Arc<Running>,
        project: &Project,
        touched: &Touched,
        built: &Built,
    ) {
        if touched.manifest {
            let applied = self.applied(running).await;
            built.tell();
            if let Applied::Nothing = applied {
                let manifest = self.what.manifest.display();
                say(format_args!("{manifest}: nothing new"));
            }
            if self.told(applied) {
                return;
            }
            // What was touched beside it may fit all the same.
        }
        self.deploy(running, project, touched, built).await;
    }

    async fn applied(&self, running: &Arc<Running>) -> Applied {
        loop {
            let mut application = match deploy::read(&self.what.manifest) {
                Ok(application) => application,
                Err(error) => return Applied::Mistakes(error),
            };
            self.what.adapt(&mut application);
            leave_alone(&mut application);
            let (generation, plan) = running.plan(&application);
            if plan.is_empty() {
                return Applied::Nothing;
            }
            report::mistakes(&application.source, &[], &application.warnings);
            let mut wanted = Wanted::new(application, Reason::Apply);
            // Whoever saves a file means what he does.
            wanted.state_may_be_lost = true;
            return match running.change(wanted, Some(generation)).await {
                Ok(changed) => Applied::Changed(plan, changed),
                Err(ChangeError::Refused(Refusal::Conflict { .. })) => continue,
                Err(error) => Applied::Refused(plan, Refused::of_change(&error)),
            };
        }
    }

    /// Whether it serves.
    fn told(&mut self, applied: Applied) -> bool {
        match applied {
            Applied::Nothing => {
                self.refused.clear();
                true
            }
            Applied::Changed(plan, changed) => {
                self.refused.clear();
                show(&plan);
                let _ = change::changed(&mut std::io::stderr().lock(), &changed);
                true
            }
            Applied::Mistakes(error) => {
                report::deploy_error(&error, true);
                false
            }
            Applied::Refused(plan, refused) => {
                show(&plan);
                change::explain(&refused);
                false
            }
        }
    }

    /// Deploys what has been touched or built and is not what serves, and says what became of each.
    async fn deploy(
        &mut self,
        running: &Arc<Running>,
        project: &Project,
        touched: &Touched,
        built: &Built,
    ) {
        let present = running.application().digests();
        let of_round: BTreeSet<&ServiceName> =
            touched.services.iter().chain(built.took.keys()).collect();
        let earlier = self.refused.clone();
        let mut new = BTreeMap::new();
        for service in of_round.iter().copied().chain(&earlier) {
            // Of one that is not there yet, why the manifest was not applied has been said.
            let Some(digest) = present.get(service) else {
                continue;
            };
            let made = project
                .made(service)
                .filter(|_| !built.failed.contains(service));
            let Some(made) = made.filter(|_| !new.contains_key(service)) else {
                continue;
            };
            match Artifact::load(&made.component) {
                Ok(artifact) if artifact.digest() == *digest => {
                    self.refused.remove(service);
                    if touched.services.contains(service) {
                        say(format_args!("{}: nothing new", built.name(service)));
                    }
                }
                Ok(artifact) => drop(new.insert(service.clone(), artifact)),
                Err(error) => report::failure(&error),
            }
        }
        if new.is_empty() {
            return;
        }
        let mut outcome = change_to(running, &new).await;
        let alone: BTreeMap<_, _> = new
            .iter()
            .filter(|(name, _)| of_round.contains(name))
            .map(|(name, artifact)| (name.clone(), artifact.clone()))
            .collect();
        if outcome.is_err() && !alone.is_empty() && alone.len() < new.len() {
            // What was refused before may be what is refused again.
            outcome = change_to(running, &alone).await;
            if outcome.is_ok() {
                new = alone;
            }
        }
        match outcome {
            Ok(changed) => {
                self.refused.retain(|service| !new.contains_key(service));
                tell(&changed, built);
            }
            Err(refused) => {
                built.tell();
                change::explain(&refused);
                self.refused.extend(new.into_keys());
            }
        }
    }
}

fn show(plan: &Plan) {
    let stderr = std::io::stderr();
    let _ = apply::show(&mut stderr.lock(), plan, report::colours(&stderr));
}

/// Makes these components what serves, by one switch.
async fn change_to(
    running: &Arc<Running>,
    components: &BTreeMap<ServiceName, Artifact>,
) -> Result<Changed, Refused> {
    let ledger = running.open_ledger();
    let ledger = &ledger.map_err(|error| Refused::of_change(&error))?;
    loop {
        let expected = running.roster().generation.number();
        let wanted = running.with_components(ledger, components);
        let mut wanted = wanted.map_err(|error| Refused::of_deploy(&error))?;
        wanted.state_may_be_lost = true;
        match running.change(wanted, Some(expected)).await {
            Err(ChangeError::Refused(Refusal::Conflict { .. })) => {}
            changed => return changed.map_err(|error| Refused::of_change(&error)),
        }
    }
}

/// `cart built in 1.2 s, revision 4 serves after 0.03 s`
fn tell(changed: &Changed, built: &Built) {
    let after = Duration::from_millis(changed.took_ms).as_secs_f64();
    for change in &changed.services {
        let (name, joint) = match built.took.contains_key(&change.service) {
            true => (built.name(&change.service), ","),
            false => (change.service.to_string(), ":"),
        };
        if let Some(revision) = change.to {
            say(format_args!(
                "{name}{joint} revision {revision} serves after {after:.2} s"
            ));
        }
    }
}
