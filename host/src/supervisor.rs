//! Starts, watches, restarts, parks and stops one service.
//!
//! One task per service owns its [`Lifecycle`] and does what that says; the rules are all in there,
//! pure and simulated. Channels in: incidents from `service`, orders from `host`, results of what
//! this task has begun. Out: the service's door, and a watch of its phase.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use skep_core::health::{FAILURES, HealthCheck};
use skep_core::lifecycle::{
    Action, Cause, CauseKind, Event, Kind, Lifecycle, Phase, Report, Settings,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::instance::{Failure, worker};
use crate::log::trap_report;
use crate::probe;
use crate::service::{Closed, Handler, Incident, Revision, Service};
use crate::task;

/// How often instances are swept, warmed and drains looked at.
const TEND_EVERY: Duration = Duration::from_millis(100);

/// What a supervisor looks after.
pub struct Charge {
    /// The service's handle.
    pub service: Arc<Service>,
    /// Its revision.
    pub revision: Arc<Revision>,
    /// Its rules.
    pub settings: Settings,
    /// Its health check.
    pub health: Option<HealthCheck>,
    /// How long calls under way get when it is stopped.
    pub stop_timeout: Duration,
}

/// What a supervisor is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Let what is under way come to its end, then stop.
    Stop,
    /// The same, then start again; also leads out of parked.
    Restart,
}

/// The handle of a supervisor.
pub struct Supervisor {
    orders: mpsc::UnboundedSender<Order>,
    phase: watch::Receiver<Phase>,
    starts: Arc<AtomicU64>,
    task: JoinHandle<Option<()>>,
}

impl Supervisor {
    /// Starts the service and watches it. `origin` is what phases count their time from.
    pub fn start(charge: Charge, incidents: mpsc::Receiver<Incident>, origin: Instant) -> Self {
        let lifecycle = Lifecycle::new(charge.settings.clone(), fastrand::u64(..));
        let (phase_in, phase) = watch::channel(lifecycle.phase().clone());
        let (orders, orders_in) = mpsc::unbounded_channel();
        let (results, results_in) = mpsc::unbounded_channel();
        let starts = Arc::new(AtomicU64::new(0));
        let shift = Shift {
            charge: Arc::new(charge),
            lifecycle,
            origin,
            phase: phase_in,
            starts: starts.clone(),
            results,
            timer: None,
            drain: None,
            running: None,
            probing: None,
            unwell: 0,
        };
        let task = task::spawn(
            task::Kind::Supervisor,
            shift.run(incidents, orders_in, results_in),
        );
        Supervisor {
            orders,
            phase,
            starts,
            task,
        }
    }

    /// Gives an order. It is lost only if the supervisor is gone.
    pub fn order(&self, order: Order) {
        let _ = self.orders.send(order);
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

/// Something that the task has begun, ended.
type Outcome = Event;

/// A task that ends with its handle: a worker must not outlive its supervisor.
struct Running(JoinHandle<Option<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Shift {
    charge: Arc<Charge>,
    lifecycle: Lifecycle,
    origin: Instant,
    phase: watch::Sender<Phase>,
    starts: Arc<AtomicU64>,
    results: mpsc::UnboundedSender<Outcome>,
    timer: Option<(Duration, u64)>,
    /// The drain that is under way.
    drain: Option<u64>,
    /// The start that is under way, or the worker.
    running: Option<Running>,
    /// The health check that is under way.
    probing: Option<Running>,
    /// Health checks failed in a row.
    unwell: u32,
}

impl Shift {
    async fn run(
        mut self,
        mut incidents: mpsc::Receiver<Incident>,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut results: mpsc::UnboundedReceiver<Outcome>,
    ) {
        self.step(Event::Start);
        let mut tend = tokio::time::interval(TEND_EVERY);
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut probe_due = Instant::now();
        loop {
            let timer = self.timer.map(|(at, _)| self.origin + at);
            tokio::select! {
                Some(incident) = incidents.recv() => self.incident(incident),
                order = orders.recv() => match order {
                    Some(order) => self.order(order),
                    None => return,
                },
                Some(outcome) = results.recv() => self.outcome(outcome),
                () = sleep_until(timer) => {
                    if let Some((_, token)) = self.timer.take() {
                        self.step(Event::TimerFired { token });
                    }
                }
                _ = tend.tick() => {
                    self.tend().await;
                    self.watch_health(&mut probe_due);
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn step(&mut self, event: Event) {
        let actions = self.lifecycle.step(self.now(), event);
        for action in actions {
            self.act(action);
        }
        self.phase.send_if_modified(|phase| {
            let changed = phase != self.lifecycle.phase();
            if changed {
                phase.clone_from(self.lifecycle.phase());
            }
            changed
        });
    }

    fn act(&mut self, action: Action) {
        let charge = self.charge.clone();
        match action {
            Action::Begin { epoch, .. } => self.begin(epoch),
            Action::Abandon { .. } => self.running = None,
            Action::Open => {
                self.unwell = 0;
                charge.service.open(charge.revision.clone());
            }
            Action::Close => charge.service.close(self.closed()),
            Action::ArmTimer { at, token } => self.timer = Some((at, token)),
            Action::Drain { token, .. } => {
                self.drain = Some(token);
                // Nothing in WASI tells a program to stop, so waiting for it would be in vain.
                if charge.settings.kind == Kind::Worker {
                    self.running = None;
                }
            }
            Action::Cut => {
                self.drain = None;
                self.running = None;
                charge.revision.cut();
            }
            Action::Report(report) => self.report(&report),
        }
    }

    /// What clients are told while nobody answers them.
    fn closed(&self) -> Closed {
        let phase = self.lifecycle.phase();
        let retry_after = match phase {
            Phase::BackingOff { until, .. } => Some(until.saturating_sub(self.now())),
            _ => None,
        };
        let reason = match phase.cause() {
            Some(cause) => format!("{}: {cause}", phase.name()),
            None => phase.name().to_owned(),
        };
        Closed {
            reason,
            retry_after,
        }
    }

    fn begin(&mut self, epoch: u64) {
        self.charge.revision.renew();
        self.starts.fetch_add(1, Ordering::Relaxed);
        let (charge, results) = (self.charge.clone(), self.results.clone());
        let started = task::spawn(task::Kind::Supervisor, async move {
            let tell = |event| {
                // The receiver lives as long as this task's handle.
                let _ = results.send(event);
            };
            if let Handler::Worker(code) = charge.revision.handler() {
                tell(Event::Started { epoch });
                return tell(run_worker(&charge, code.clone(), epoch).await);
            }
            match start(&charge).await {
                Ok(()) => tell(Event::Started { epoch }),
                Err(cause) => tell(Event::StartFailed { epoch, cause }),
            }
        });
        self.running = Some(Running(started));
    }

    fn outcome(&mut self, outcome: Outcome) {
        match outcome {
            Event::HealthFailed { epoch, cause } => {
                self.unwell += 1;
                let left = FAILURES.saturating_sub(self.unwell);
                if left > 0 {
                    let service = self.charge.service.name();
                    tracing::warn!(%service, "{cause}; {left} more in a row and it is restarted");
                } else {
                    self.unwell = 0;
                    self.step(Event::HealthFailed { epoch, cause });
                }
            }
            other => self.step(other),
        }
    }

    fn incident(&mut self, incident: Incident) {
        self.log_incident(&incident);
        let epoch = self.lifecycle.epoch();
        let cause = Cause::new(cause_kind(&incident.failure), incident.failure.to_string());
        let answered_since = incident.answered_since;
        self.step(Event::Crashed {
            epoch,
            cause,
            answered_since,
        });
    }

    fn order(&mut self, order: Order) {
        let deadline = self.now() + self.charge.stop_timeout;
        match order {
            Order::Stop => self.step(Event::StopRequested { deadline }),
            Order::Restart => self.step(Event::RestartRequested { deadline }),
        }
    }

    /// House-keeping, and whether a drain has come to its end.
    async fn tend(&mut self) {
        let revision = &self.charge.revision;
        if let Some(token) = self.drain
            && revision.admission().in_flight() == 0
            && self.worker_is_over()
        {
            self.drain = None;
            self.step(Event::Drained { token });
            return;
        }
        if self.lifecycle.phase().is_ready()
            && let Err(failure) = revision.tend().await
        {
            let failure = Arc::new(failure);
            self.charge
                .service
                .crashed(revision.number(), 0, None, failure);
        }
    }

    fn worker_is_over(&self) -> bool {
        self.charge.settings.kind != Kind::Worker
            || self
                .running
                .as_ref()
                .is_none_or(|running| running.0.is_finished())
    }

    fn watch_health(&mut self, due: &mut Instant) {
        let Some(check) = &self.charge.health else {
            return;
        };
        let Some(interval) = check.interval else {
            return;
        };
        if !self.lifecycle.phase().is_ready() {
            *due = Instant::now() + interval;
            return;
        }
        let busy = self
            .probing
            .as_ref()
            .is_some_and(|probing| !probing.0.is_finished());
        if busy || Instant::now() < *due {
            return;
        }
        *due = Instant::now() + interval;
        let epoch = self.lifecycle.epoch();
        let (charge, results) = (self.charge.clone(), self.results.clone());
        let probing = task::spawn(task::Kind::Supervisor, async move {
            let Some(check) = &charge.health else { return };
            if let Err(error) = probe::probe(&charge.service, &charge.revision, check).await {
                let cause = Cause::new(CauseKind::Health, error.to_string());
                let _ = results.send(Event::HealthFailed { epoch, cause });
            }
        });
        self.probing = Some(Running(probing));
    }

    fn log_incident(&self, incident: &Incident) {
        let service = self.charge.service.name();
        let failure = &incident.failure;
        let request = incident.request_id.as_deref().unwrap_or("-");
        let detail = match failure.source_error() {
            Some(error) => trap_report(error).to_string(),
            None => failure.to_string(),
        };
        tracing::error!(
            %service,
            revision = incident.revision,
            instance = incident.instance,
            request,
            failure = failure.label(),
            "instance lost: {detail}"
        );
    }

    fn report(&self, report: &Report) {
        let service = self.charge.service.name();
        let revision = self.charge.revision.number();
        match report {
            Report::Ready { took } => {
                tracing::info!(%service, revision, "ready after {took:.1?}");
            }
            Report::StartFailed { attempt, cause } => {
                tracing::error!(%service, revision, attempt, "start failed: {cause}");
            }
            Report::Crashed {
                counted, crashes, ..
            } => {
                tracing::debug!(%service, revision, counted, crashes, "crash");
            }
            Report::HealthFailed { cause } => {
                tracing::error!(%service, revision, "not healthy, restarting: {cause}");
            }
            Report::BackingOff {
                delay,
                attempt,
                cause,
            } => tracing::warn!(
                %service, revision, attempt, "backing off for {delay:.1?}: {cause}"
            ),
            Report::Parked { cause, crashes } => tracing::error!(
                %service, revision, crashes,
                "parked: {cause}. It stays down until `skep restart` or a new start of the host"
            ),
            Report::Draining { .. } => tracing::info!(%service, revision, "draining"),
            Report::Cut => tracing::warn!(
                %service, revision, "what was still under way at the stop deadline has been cut"
            ),
            Report::Stopped { cause } => {
                tracing::info!(%service, revision, "stopped: {cause}");
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Makes the first instance, warms the pool, asks for health.
async fn start(charge: &Charge) -> Result<(), Cause> {
    let failed = |failure: Failure| {
        let text = match failure.source_error() {
            Some(error) => trap_report(error).to_string(),
            None => failure.to_string(),
        };
        Cause::new(cause_kind(&failure), text)
    };
    charge.revision.try_instance().await.map_err(failed)?;
    charge.revision.tend().await.map_err(failed)?;
    let Some(check) = &charge.health else {
        return Ok(());
    };
    probe::probe(&charge.service, &charge.revision, check)
        .await
        .map_err(|error| Cause::new(CauseKind::Health, error.to_string()))
}

async fn run_worker(charge: &Charge, code: Arc<worker::Code>, epoch: u64) -> Event {
    match worker::run(code).await {
        Ok(worker::Exit::Ok) => Event::Exited { epoch, ok: true },
        Ok(worker::Exit::Code(code)) => {
            let service = charge.service.name();
            charge
                .service
                .counters()
                .crashed
                .fetch_add(1, Ordering::Relaxed);
            tracing::error!(%service, code, "the worker ended with an error");
            Event::Exited { epoch, ok: false }
        }
        Err(failure) => {
            let failure = Arc::new(failure);
            let cause = Cause::new(cause_kind(&failure), failure.to_string());
            let service = charge.service.name();
            charge
                .service
                .counters()
                .crashed
                .fetch_add(1, Ordering::Relaxed);
            let detail = match failure.source_error() {
                Some(error) => trap_report(error).to_string(),
                None => failure.to_string(),
            };
            let revision = charge.revision.number();
            tracing::error!(%service, revision, failure = failure.label(), "worker lost: {detail}");
            Event::Crashed {
                epoch,
                cause,
                answered_since: 0,
            }
        }
    }
}

fn cause_kind(failure: &Failure) -> CauseKind {
    match failure {
        Failure::Instantiate(_) => CauseKind::Instantiation,
        Failure::CpuLimit(_) => CauseKind::Cpu,
        Failure::MemoryLimit(_) | Failure::NoMemory(_) => CauseKind::Memory,
        Failure::Deadline => CauseKind::Deadline,
        Failure::HostPanic { .. } => CauseKind::Host,
        Failure::Trap(_)
        | Failure::NoResponse
        | Failure::ErrorCode { .. }
        | Failure::UnfinishedBody => CauseKind::Trap,
    }
}
