//! The walk of a change: what is new is built, starts beside what serves and has to become ready; then
//! one store of a pointer sends new requests there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use skep_core::name::ServiceName;
use skep_core::supervision::{Arrangement, GroupSettings};

use super::bench::{Bench, Prepared};
use super::change_error::ChangeError;
use super::difference::ContractChange;
use super::entry::Entry;
use super::handover::{self, HandedOver};
use super::http::needs_new_start;
use super::member::{Member, Members};
use super::probation::Watch;
use super::progress::StepBegun;
use super::running::{Roster, Running, Wanted};
use super::{Application, chain, starts_after};
use crate::task;

/// How long a candidate that has started may take to say that it is ready, beyond its own
/// `start-timeout`.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// A change that has been made.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Changed {
    /// The generation that serves now.
    pub generation: u64,
    /// What has another revision than before, or none, or is new.
    pub services: Vec<ServiceChange>,
    /// What others may notice of a component that was deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contract: Vec<ContractChange>,
    /// From the beginning to the switch, in milliseconds.
    pub took_ms: u64,
}

/// What a change was for one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServiceChange {
    /// Which.
    pub service: ServiceName,
    /// The revision before; none if it is new.
    pub from: Option<u32>,
    /// The revision now; none if it has been removed.
    pub to: Option<u32>,
}

impl Running {
    /// Makes `wanted` what serves, whole or not at all. `expected` is the generation that the caller
    /// goes by, if that matters. It comes to its end even if nobody waits for it.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing has changed.
    pub async fn change(
        self: &Arc<Self>,
        wanted: Wanted,
        expected: Option<u64>,
    ) -> Result<Changed, ChangeError> {
        let running = self.clone();
        to_its_end(async move { running.change_now(wanted, expected).await }).await
    }

    async fn change_now(
        self: &Arc<Self>,
        wanted: Wanted,
        expected: Option<u64>,
    ) -> Result<Changed, ChangeError> {
        let mut bench = self.bench.lock().await;
        let began = Instant::now();
        let before = self.roster();
        if wanted.is_there(&before) {
            self.may_change(&before, expected)?;
            return Ok(Changed {
                generation: before.generation.number(),
                services: Vec::new(),
                contract: Vec::new(),
                took_ms: 0,
            });
        }
        let (prepared, entry) = self.ready(&mut bench, &before, wanted, expected).await?;
        self.commit(&mut bench, &before, prepared, entry, began)
            .await
    }

    /// Builds what is wanted, and proves what is new of it. Answers that with what is written down of it
    /// so far.
    pub(super) async fn ready(
        &self,
        bench: &mut Bench,
        before: &Roster,
        wanted: Wanted,
        expected: Option<u64>,
    ) -> Result<(Prepared, Entry), ChangeError> {
        self.may_change(before, expected)?;
        if let Some(trial) = &bench.trial {
            return Err(trial.in_the_way());
        }
        let Wanted {
            application,
            reason,
            evidence,
            state_may_be_lost,
            mut revisions,
            from_disk,
            progress,
        } = wanted;
        let keys = needs_new_start(&before.application.manifest, &application.manifest);
        if !keys.is_empty() {
            let error = ChangeError::NeedsNewStart { keys };
            self.note_needs_new_start(reason, &error).await;
            return Err(error);
        }
        bench.machinery = bench.machinery.fit(&application)?;
        let application = Arc::new(application);
        let kept = before.kept(&application);
        let new = |name: &&ServiceName| {
            !kept.members.contains_key(*name) && !revisions.contains_key(*name)
        };
        let new = application.manifest.services.keys().filter(new).cloned();
        let books = bench.books.as_ref().ok_or(ChangeError::NoLedger)?;
        let mut entry = Entry::begin(
            &books.ledger,
            &application,
            (reason, evidence),
            new.collect(),
        )
        .await?;
        // What is bad is taken back, whatever becomes of its state.
        entry.state_may_be_lost = state_may_be_lost;
        entry.from_disk = from_disk;
        revisions.extend(entry.noted.revisions.clone());
        failpoint!("change::noted");
        let number = before.generation.number() + 1;
        let prepared = bench
            .prepare(&self.desk, &application, kept, number, &revisions, progress)
            .await;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(mistakes) => {
                let error = ChangeError::Mistakes {
                    source_text: application.source.clone(),
                    mistakes,
                };
                entry.refuse(chain(&error)).await;
                return Err(error);
            }
        };
        failpoint!("change::built");
        let services = handover::losses(before, &prepared);
        let proved = match services.is_empty() || state_may_be_lost {
            true => self.prove(before, &prepared).await,
            false => Err(ChangeError::StateLost { services }),
        };
        failpoint!("change::proved");
        if let Err(error) = proved {
            self.give_up(
                before,
                prepared,
                entry,
                &error,
                "its deploy has been refused",
            )
            .await;
            return Err(error);
        }
        Ok((prepared, entry))
    }

    /// Writes down that it serves from now on, and lets it.
    pub(super) async fn commit(
        self: &Arc<Self>,
        bench: &mut Bench,
        before: &Roster,
        prepared: Prepared,
        mut entry: Entry,
        began: Instant,
    ) -> Result<Changed, ChangeError> {
        let handed = HandedOver::from(before, &prepared, entry.state_may_be_lost).await;
        let handed = match handed {
            Ok(handed) => handed,
            Err(error) => {
                self.give_up(
                    before,
                    prepared,
                    entry,
                    &error,
                    "it does not take over the state",
                )
                .await;
                return Err(error);
            }
        };
        failpoint!("change::handed-over");
        prepared.progress.begins(StepBegun::WriteDown);
        if let Err(error) = entry.commit(bench, &prepared).await {
            handed.undo();
            let error = ChangeError::Ledger(error);
            self.give_up(before, prepared, entry, &error, "it cannot be written down")
                .await;
            return Err(error);
        }
        failpoint!("change::written-down");
        prepared.progress.begins(StepBegun::Switch);
        // Whoever goes back knows what to; it may well be slower.
        let watched = !entry.goes_back();
        let changed = self.switch(before, prepared, watched, began);
        handed.settle();
        failpoint!("change::switched");
        entry.tidy();
        Ok(changed)
    }

    /// What was to serve does not: what it has begun comes to its end, and it goes.
    pub(super) async fn give_up(
        &self,
        before: &Roster,
        prepared: Prepared,
        entry: Entry,
        error: &ChangeError,
        why: &'static str,
    ) {
        let members = arrangement(&before.application, &before.members);
        self.desk.arrange(members);
        entry.refuse(chain(error)).await;
        let patience = before.application.manifest.http.drain_timeout;
        for candidate in prepared.candidates {
            task::spawn(task::Kind::Deploy, async move {
                if !candidate.rests_within(patience).await {
                    candidate.revision().cut();
                }
                candidate.dismiss(why.to_owned()).await;
            });
        }
    }

    /// Starts the candidates beside what serves, and waits until each is ready. Workers start only
    /// when those before them have ended.
    async fn prove(&self, before: &Roster, prepared: &Prepared) -> Result<(), ChangeError> {
        let mut beside = arrangement(&before.application, &before.members);
        let places: Vec<usize> = prepared.candidates.iter().map(|c| c.place()).collect();
        let whole = arrangement(&prepared.application, &prepared.members);
        let mut new = whole.members;
        new.retain(|(member, _)| places.contains(member));
        for (_, after) in &mut new {
            after.retain(|member| places.contains(member));
        }
        beside.members.extend(new);
        self.desk.arrange(beside);
        let candidates = || prepared.candidates.iter().filter(|c| !c.is_worker());
        for candidate in candidates() {
            self.desk.start_one(candidate.place());
        }
        for candidate in candidates() {
            prepared.progress.begins(StepBegun::Prove {
                service: candidate.name().clone(),
                revision: candidate.number(),
            });
            let ready = candidate.ready(READY_PATIENCE).await;
            ready.map_err(|cause| ChangeError::NotReady {
                service: candidate.name().clone(),
                revision: candidate.number(),
                cause,
            })?;
        }
        Ok(())
    }

    /// From here on there is no way back but another change.
    pub(super) fn switch(
        self: &Arc<Self>,
        before: &Roster,
        prepared: Prepared,
        watched: bool,
        began: Instant,
    ) -> Changed {
        let Prepared {
            generation,
            application,
            members,
            candidates,
            progress: _,
        } = prepared;
        for member in members.values() {
            member.home().is(&generation);
        }
        self.desk.arrange(arrangement(&application, &members));
        self.serving.switch(generation.clone());
        let services = differences(&before.members, &members);
        let changed = Changed {
            generation: generation.number(),
            services,
            contract: Vec::new(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let Succession { standby, retiring } = Succession::of(before, &members);
        let number = Some(generation.number());
        let watch = watched.then(|| Watch::new(&candidates, before, number));
        let patience = application.manifest.http.drain_timeout;
        let workers: Vec<_> = candidates.into_iter().filter(|c| c.is_worker()).collect();
        self.roster.store(Arc::new(Roster {
            generation,
            application,
            members,
            standby,
            trial: None,
        }));
        if let Some(watch) = watch.flatten() {
            watch.begin(self);
        }
        for (member, stays) in retiring {
            let successor = workers.iter().find(|worker| worker.name() == member.name());
            self.retire(member, patience, stays, successor.cloned());
        }
        for worker in workers {
            if !before.members.contains_key(worker.name()) {
                self.desk.start_one(worker.place());
            }
        }
        changed
    }
}

/// What becomes of those that served, or stood by, before.
struct Succession {
    /// Kept to come back to: what served until now, and, of services that have not changed, what
    /// served before that.
    standby: Members,
    /// Those that serve no more, and whether they stay.
    retiring: Vec<(Arc<Member>, bool)>,
}

impl Succession {
    fn of(before: &Roster, members: &Members) -> Succession {
        let (mut standby, mut retiring) = (Members::new(), Vec::new());
        let gone = |(_, member): &(&ServiceName, &Arc<Member>)| {
            let now = members.get(member.name());
            now.is_none_or(|now| !Arc::ptr_eq(now, member))
        };
        for (name, member) in before.members.iter().filter(gone) {
            let stays = members.contains_key(name) && !member.is_worker();
            if stays {
                standby.insert(name.clone(), member.clone());
            }
            retiring.push((member.clone(), stays));
        }
        for (name, member) in before.standby.iter().filter(gone) {
            if members.contains_key(name) && !standby.contains_key(name) {
                standby.insert(name.clone(), member.clone());
            } else {
                retiring.push((member.clone(), false));
            }
        }
        Succession { standby, retiring }
    }
}

/// Whether or not anybody waits for it.
pub(super) async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, ChangeError>> + Send + 'static,
) -> Result<T, ChangeError> {
    let changed = task::spawn(task::Kind::Deploy, change).await;
    changed.ok().flatten().unwrap_or(Err(ChangeError::Lost))
}

/// What has another revision than before.
pub(super) fn differences(before: &Members, now: &Members) -> Vec<ServiceChange> {
    let names: std::collections::BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let number =
        |members: &Members, name: &ServiceName| members.get(name).map(|member| member.number());
    let change = |name: &ServiceName| {
        let (from, to) = (number(before, name), number(now, name));
        (from != to).then(|| ServiceChange {
            service: name.clone(),
            from,
            to,
        })
    };
    names.into_iter().filter_map(change).collect()
}

/// Which members start after which, and in which groups they are.
pub(super) fn arrangement(application: &Application, members: &Members) -> Arrangement {
    let manifest = &application.manifest;
    let names: Vec<&ServiceName> = manifest.services.keys().collect();
    let place = |name: &ServiceName| members.get(name).map(|member| member.place());
    let order = starts_after(application);
    let arranged = names.iter().zip(order).filter_map(|(name, after)| {
        let after = after.into_iter().filter_map(|at| place(names[at]));
        Some((place(name)?, after.collect()))
    });
    let groups = manifest.groups.values().map(|group| GroupSettings {
        name: group.name.value.clone(),
        members: group
            .services
            .iter()
            .filter_map(|name| place(name))
            .collect(),
        strategy: group.strategy,
        policy: group.policy.clone(),
    });
    Arrangement {
        members: arranged.collect(),
        groups: groups.collect(),
    }
}
