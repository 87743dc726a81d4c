//! What a supervisor begins: the start of a service that handles requests, and the run of a worker.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use skep_core::health::{HealthCheck, Tally};
use skep_core::lifecycle::{Cause, CauseKind, Event};

use super::{Charge, Outcome};
use crate::crash::Told;
use crate::instance::{Failure, worker};
use crate::log::trap_report;
use crate::probe;
use crate::service::Lost;

/// Makes the first instance, warms the pool, makes the start-up check, asks for readiness.
pub(super) async fn start(charge: &Charge, epoch: u64) -> Outcome {
    match instantiate_and_check(charge).await {
        Ok(()) => {}
        Err(cause) => return Outcome::Happened(Event::StartFailed { epoch, cause }),
    }
    let readiness = match &charge.health.readiness {
        Some(check) => {
            let asked = probe::probe(&charge.service, &charge.revision, check).await;
            Some(asked.map_err(|error| error.to_string()))
        }
        None => None,
    };
    Outcome::Started { epoch, readiness }
}

async fn instantiate_and_check(charge: &Charge) -> Result<(), Cause> {
    let failed = |failure: Failure| {
        charge
            .crashes
            .note(&charge.revision, &Lost::default(), Told::of(&failure));
        Cause::new(cause_kind(&failure), detail(&failure))
    };
    charge.revision.try_instance().await.map_err(failed)?;
    charge.revision.tend().await.map_err(failed)?;
    match &charge.health.startup {
        Some(check) => start_up(charge, check).await,
        None => Ok(()),
    }
}

/// Asks until enough answers in a row say the same. The start's own time-out bounds it.
async fn start_up(charge: &Charge, check: &HealthCheck) -> Result<(), Cause> {
    let (mut well, mut unwell) = (Tally::new(check, false), Tally::new(check, true));
    loop {
        let asked = probe::probe(&charge.service, &charge.revision, check).await;
        if well.record(asked.is_ok()) == Some(true) {
            return Ok(());
        }
        if let (Err(error), Some(false)) = (&asked, unwell.record(asked.is_ok())) {
            return Err(Cause::new(CauseKind::Health, error.to_string()));
        }
        tokio::time::sleep(check.interval).await;
    }
}

/// Runs the worker to its end.
pub(super) async fn run(charge: &Charge, code: Arc<worker::Code>, epoch: u64) -> Outcome {
    let ran = worker::run(code).await;
    let lost = Lost {
        instance: ran.instance,
        doing: Vec::new(),
        cpu: ran.cpu,
    };
    let (service, revision) = (charge.service.name(), charge.revision.number());
    Outcome::Happened(match ran.result {
        Ok(worker::Exit::Ok) => Event::Exited { epoch, ok: true },
        Ok(worker::Exit::Code(code)) => {
            tracing::error!(%service, revision, code, "the worker ended with an error");
            let told = Told::plain("exit", format!("the worker ended with exit status {code}"));
            charge.lost(&lost, told);
            Event::Exited { epoch, ok: false }
        }
        Err(failure) => {
            let label = failure.label();
            tracing::error!(%service, revision, failure = label, "worker lost: {}", detail(&failure));
            charge.lost(&lost, Told::of(&failure));
            Event::Crashed {
                epoch,
                cause: Cause::new(cause_kind(&failure), failure.to_string()),
                answered_since: 0,
            }
        }
    })
}

impl Charge {
    /// Counts a crash that no request was concerned with, and writes it down.
    pub(super) fn lost(&self, lost: &Lost, told: Told) {
        self.service
            .counters()
            .crashed
            .fetch_add(1, Ordering::Relaxed);
        self.crashes.note(&self.revision, lost, told);
    }
}

/// A failure with the guest's stack, for the log.
pub(super) fn detail(failure: &Failure) -> String {
    match failure.source_error() {
        Some(error) => trap_report(error).to_string(),
        None => failure.to_string(),
    }
}

pub(super) fn cause_kind(failure: &Failure) -> CauseKind {
    match failure {
        Failure::Instantiate(_) => CauseKind::Instantiation,
        Failure::CpuLimit(_) => CauseKind::Cpu,
        Failure::MemoryLimit(_) | Failure::NoMemory(_) => CauseKind::Memory,
        Failure::Deadline | Failure::Replaced => CauseKind::Deadline,
        Failure::HostPanic { .. } => CauseKind::Host,
        Failure::Trap(_)
        | Failure::Callee(_)
        | Failure::NoResponse
        | Failure::ErrorCode { .. }
        | Failure::UnfinishedBody => CauseKind::Trap,
    }
}
