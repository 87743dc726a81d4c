//! Starts, watches, restarts, parks and stops the services of an application.
//!
//! One task per service does what the machine behind the [`Desk`] says; the rules are all in there
//! (`skep_core::supervision`), pure and simulated. Channels in: incidents from `service`, notices
//! from the desk, results of what this task has begun. Out: the service's door, a watch of its
//! phase, and its crashes.

mod begin;
mod checks;
mod desk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, OptionFuture};
use skep_core::health::Health;
use skep_core::lifecycle::{Action, Cause, CauseKind, Event, Kind, Phase, Settings};
use skep_core::name::ServiceName;
use skep_core::supervision::MemberSettings;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::begin::{cause_kind, detail};
use self::checks::{Purpose, Watch};
pub use self::desk::Desk;
use self::desk::{Notice, Standing};
use crate::crash::{Ring, Told};
use crate::instance::Failure;
use crate::service::{Closed, Handler, Incident, Lost, Revision, Service};
use crate::task;

/// How often instances are swept, warmed, drains looked at and checks made.
const TEND_EVERY: Duration = Duration::from_millis(100);

/// What a supervisor looks after.
pub struct Charge {
    /// The service's handle.
    pub service: Arc<Service>,
    /// Its revision.
    pub revision: Arc<Revision>,
    /// Its rules.
    pub settings: Settings,
    /// Its health checks.
    pub health: Health,
    /// Its crashes.
    pub crashes: Arc<Ring>,
    /// How long calls under way get when it is stopped.
    pub stop_timeout: Duration,
}

/// The handle of a supervisor.
pub struct Supervisor {
    member: usize,
    phase: watch::Receiver<Phase>,
    starts: Arc<AtomicU64>,
    task: JoinHandle<Option<()>>,
}

/// Gives a revision of a service its supervisor, which starts it when the desk is told to.
pub fn hire(
    desk: &Arc<Desk>,
    name: ServiceName,
    charge: Charge,
    incidents: mpsc::Receiver<Incident>,
) -> Supervisor {
    let settings = MemberSettings {
        life: charge.settings.clone(),
        stop_timeout: charge.stop_timeout,
        after: Vec::new(),
    };
    let (member, notices) = desk.join(name, charge.revision.number(), settings);
    Supervisor::start(charge, member, desk.clone(), incidents, notices)
}

impl Supervisor {
    fn start(
        charge: Charge,
        member: usize,
        desk: Arc<Desk>,
        incidents: mpsc::Receiver<Incident>,
        notices: mpsc::UnboundedReceiver<Notice>,
    ) -> Self {
        let not_yet = Phase::Stopped {
            since: Duration::ZERO,
            cause: Cause::new(CauseKind::NotStarted, "not started yet"),
        };
        let (phase_in, phase) = watch::channel(not_yet);
        let (results, results_in) = mpsc::unbounded_channel();
        let starts = Arc::new(AtomicU64::new(0));
        let shift = Shift {
            charge: Arc::new(charge),
            member,
            desk,
            phase: phase_in,
            stands: None,
            starts: starts.clone(),
            results,
            timer: None,
            drain: None,
            running: None,
            watches: Vec::new(),
        };
        let task = task::spawn(
            task::Kind::Supervisor,
            shift.run(incidents, notices, results_in),
        );
        Supervisor {
            member,
            phase,
            starts,
            task,
        }
    }

    /// Its number at the desk.
    pub fn member(&self) -> usize {
        self.member
    }

    /// The service's phase, to be watched.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// Starts after the first.
    pub fn restarts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Ends the supervisor with whatever it runs.
    pub fn abort(&self) {
        self.task.abort();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Something that the task has begun has come to something.
enum Outcome {
    /// A start went well; with the answer of the first readiness check, if there is one.
    Started {
        epoch: u64,
        readiness: Option<Result<(), String>>,
    },
    /// A check was answered.
    Checked {
        epoch: u64,
        purpose: Purpose,
        answer: Result<(), String>,
    },
    Happened(Event),
}

struct Shift {
    charge: Arc<Charge>,
    /// Its place at the desk.
    member: usize,
    desk: Arc<Desk>,
    phase: watch::Sender<Phase>,
    /// What the desk said last.
    stands: Option<Standing>,
    starts: Arc<AtomicU64>,
    results: mpsc::UnboundedSender<Outcome>,
    timer: Option<(Duration, u64)>,
    /// The drain that is under way.
    drain: Option<u64>,
    /// The start that is under way, or the worker, which must not outlive its supervisor.
    running: Option<task::Own<()>>,
    /// The checks of a service that is up.
    watches: Vec<Watch>,
}

impl Shift {
    async fn run(
        mut self,
        mut incidents: mpsc::Receiver<Incident>,
        mut notices: mpsc::UnboundedReceiver<Notice>,
        mut results: mpsc::UnboundedReceiver<Outcome>,
    ) {
        let mut tend = tokio::time::interval(TEND_EVERY);
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Instances are made beside all else: a guest may take its time to start.
        let mut tending: Option<BoxFuture<'static, Result<(), Failure>>> = None;
        loop {
            if !self.is_up() {
                tending = None;
            }
            let timer = self.timer.map(|(at, _)| self.desk.origin() + at);
            tokio::select! {
                // What has been decided comes first: nothing else is asked about what is past.
                biased;
                notice = notices.recv() => match notice {
                    Some(Notice::Do(action)) => self.act(action),
                    Some(Notice::Stands(standing)) => self.stand(standing),
                    None => return,
                },
                Some(outcome) = results.recv() => self.outcome(outcome),
                Some(incident) = incidents.recv() => self.incident(&incident),
                () = sleep_until(timer) => {
                    if let Some((_, token)) = self.timer.take() {
                        self.happened(Event::TimerFired { token });
                    }
                }
                tended = OptionFuture::from(tending.as_mut()), if tending.is_some() => {
                    tending = None;
                    if let Some(Err(failure)) = tended {
                        self.could_not_warm(failure);
                    }
                }
                _ = tend.tick() => {
                    if !self.look_at_drain() && self.is_up() && tending.is_none() {
                        let revision = self.charge.revision.clone();
                        tending = Some(Box::pin(async move { revision.tend().await }));
                    }
                    self.watch_health();
                }
            }
        }
    }

    fn happened(&self, event: Event) {
        self.desk.happened(self.member, event);
    }

    /// The phase as this task has been told.
    fn is_up(&self) -> bool {
        self.stands
            .as_ref()
            .is_some_and(|stands| stands.phase.is_up())
    }

    fn stand(&mut self, standing: Standing) {
        let answers = self.charge.settings.kind != Kind::Worker;
        if answers && !standing.phase.is_ready() {
            self.charge.service.close(self.closed(&standing));
        }
        // That it starts may be told when the start has come to its end already.
        let starting = matches!(standing.phase, Phase::Starting { .. });
        if !standing.phase.is_up() && !starting {
            self.watches.clear();
            if self.is_up() {
                // Idle instances go now, and those that are busy when they have answered.
                self.charge.revision.renew();
            }
        }
        self.phase.send_if_modified(|phase| {
            let changed = *phase != standing.phase;
            if changed {
                phase.clone_from(&standing.phase);
            }
            changed
        });
        self.stands = Some(standing);
    }

    fn act(&mut self, action: Action) {
        let charge = self.charge.clone();
        match action {
            Action::Begin { epoch, .. } => self.begin(epoch),
            Action::Abandon { .. } => self.running = None,
            Action::Open => charge.service.open(charge.revision.clone()),
            // What clients are told meanwhile follows with where the service stands.
            Action::Close => {}
            Action::ArmTimer { at, token } => self.timer = Some((at, token)),
            Action::Drain { token, .. } => {
                self.drain = Some(token);
                // Nothing in WASI tells a program to stop, so waiting for it would be in vain.
                if charge.settings.kind == Kind::Worker {
                    self.running = None;
                }
                self.look_at_drain();
            }
            Action::Cut => {
                self.drain = None;
                self.running = None;
                charge.revision.cut();
            }
            // The desk has told of it.
            Action::Report(_) => {}
        }
    }

    /// What clients are told while nobody answers them.
    fn closed(&self, standing: &Standing) -> Closed {
        let phase = &standing.phase;
        let retry_at = match phase {
            Phase::Unready { .. } => {
                let mut watches = self.watches.iter();
                let readiness = watches.find(|watch| watch.purpose == Purpose::Readiness);
                readiness.map(|watch| Instant::now() + watch.turns_in())
            }
            _ => standing.due.map(|due| self.desk.origin() + due),
        };
        let reason = match phase.cause() {
            Some(cause) => format!("{}: {cause}", phase.name()),
            None => phase.name().to_owned(),
        };
        Closed {
            revision: self.charge.revision.number(),
            reason,
            coming: standing.coming,
            retry_at,
        }
    }

    fn begin(&mut self, epoch: u64) {
        self.charge.revision.renew();
        self.watches.clear();
        self.starts.fetch_add(1, Ordering::Relaxed);
        let (charge, results) = (self.charge.clone(), self.results.clone());
        let started = task::own(task::Kind::Supervisor, async move {
            let tell = |outcome| {
                // The receiver lives as long as this task's handle.
                let _ = results.send(outcome);
            };
            if let Handler::Worker(code) = charge.revision.handler() {
                let unready = None;
                tell(Outcome::Happened(Event::Started { epoch, unready }));
                return tell(begin::run(&charge, code.clone(), epoch).await);
            }
            tell(begin::start(&charge, epoch).await);
        });
        self.running = Some(started);
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Started { epoch, readiness } => self.started(epoch, readiness),
            Outcome::Checked {
                epoch,
                purpose,
                answer,
            } => self.checked(epoch, purpose, answer),
            Outcome::Happened(event) => self.happened(event),
        }
    }

    fn started(&mut self, epoch: u64, readiness: Option<Result<(), String>>) {
        let health = &self.charge.health;
        let liveness = health.liveness.iter();
        self.watches = liveness
            .map(|check| Watch::new(Purpose::Liveness, check, true))
            .collect();
        let mut unready = None;
        if let (Some(check), Some(answer)) = (&health.readiness, readiness) {
            let mut watch = Watch::new(Purpose::Readiness, check, false);
            if watch.record(answer.is_ok()).is_none() {
                let cause = answer.err().unwrap_or_else(|| {
                    format!(
                        "health check: {} more good answers are needed",
                        watch.missing()
                    )
                });
                unready = Some(Cause::new(CauseKind::Health, cause));
            }
            self.watches.push(watch);
        }
        self.happened(Event::Started { epoch, unready });
    }

    /// A check of a service that is up was answered.
    fn checked(&mut self, epoch: u64, purpose: Purpose, answer: Result<(), String>) {
        let current = epoch == self.desk.epoch(self.member);
        let mut watches = self.watches.iter_mut();
        let Some(watch) = watches.find(|watch| current && watch.purpose == purpose) else {
            return;
        };
        let turned = watch.record(answer.is_ok());
        let service = self.charge.service.name();
        match (purpose, turned, answer) {
            (_, None, Err(error)) => {
                let missing = watch.missing();
                tracing::warn!(%service, "{error}; {missing} more in a row and it is not well");
            }
            (_, None, Ok(())) => {}
            (Purpose::Readiness, Some(true), _) => {
                self.happened(Event::ReadinessBack { epoch });
            }
            (Purpose::Readiness, Some(false), answer) => {
                let cause = Cause::new(CauseKind::Health, answer.err().unwrap_or_default());
                self.happened(Event::ReadinessLost { epoch, cause });
            }
            (Purpose::Liveness, _, Ok(())) => {}
            (Purpose::Liveness, _, Err(error)) => {
                let told = Told::plain("health", error.clone());
                self.charge.lost(&Lost::default(), told);
                let cause = Cause::new(CauseKind::Health, error);
                self.happened(Event::HealthFailed { epoch, cause });
            }
        }
        // The time until it may be ready again has moved.
        if let Some(standing) = &self.stands
            && matches!(standing.phase, Phase::Unready { .. })
        {
            self.charge.service.close(self.closed(standing));
        }
    }

    fn incident(&mut self, incident: &Incident) {
        self.log_incident(incident);
        let told = Told::of(&incident.failure);
        self.charge
            .crashes
            .note(&self.charge.revision, &incident.lost, told);
        let cause = Cause::new(cause_kind(&incident.failure), incident.failure.to_string());
        self.happened(Event::Crashed {
            epoch: self.desk.epoch(self.member),
            cause,
            answered_since: incident.answered_since,
        });
    }

    fn could_not_warm(&self, failure: Failure) {
        let (service, revision) = (&self.charge.service, &self.charge.revision);
        service.crashed(revision.number(), Lost::default(), Arc::new(failure));
    }

    /// Tells if nothing runs any more, which was waited for.
    fn look_at_drain(&mut self) -> bool {
        if let Some(token) = self.drain
            && self.charge.revision.in_flight() == 0
            && self.worker_is_over()
        {
            self.drain = None;
            self.happened(Event::Drained { token });
            return true;
        }
        false
    }

    fn worker_is_over(&self) -> bool {
        self.charge.settings.kind != Kind::Worker
            || self
                .running
                .as_ref()
                .is_none_or(|running| running.is_finished())
    }

    fn watch_health(&mut self) {
        if !self.is_up() || self.watches.is_empty() {
            return;
        }
        let epoch = self.desk.epoch(self.member);
        for watch in &mut self.watches {
            watch.ask(&self.charge, &self.results, epoch);
        }
    }

    fn log_incident(&self, incident: &Incident) {
        let service = self.charge.service.name();
        let lost = &incident.lost;
        let request = lost.doing.first().map_or("-", |doing| doing.id.as_str());
        tracing::error!(
            %service,
            revision = incident.revision,
            instance = lost.instance,
            request,
            failure = incident.failure.label(),
            "instance lost: {}",
            detail(&incident.failure)
        );
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
