//! Everything that is known of a service's latest crashes: kept in a ring, shown by `skep crashes`.
//!
//! Beside it: `service` tells of a crash (`service::incident`), `supervisor` writes it down here,
//! `control` reads it. What a guest printed is in it, and nothing of a request but id, method, path
//! and route.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use skep_core::status::{CrashLine, CrashReport, CrashedRequest};

use crate::core_dump::Dump;
use crate::instance::Failure;
use crate::log::{RecentLine, rfc3339, trap_report};
use crate::service::{Doing, Lost, Revision, Work};

/// Crashes kept of a service. A report has at most some 100 KiB: frames, lines and requests are
/// bounded each.
pub const CRASHES_KEPT: usize = 16;

/// Lines kept of what the instance printed.
const LINES_KEPT: usize = 20;

/// Bytes kept of a request's path, as in the log.
const PATH_KEPT: usize = 1024;

/// The latest crashes of one service.
#[derive(Debug, Default)]
pub struct Ring(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    total: u64,
    /// The oldest first.
    reports: VecDeque<(CrashReport, Option<Dump>)>,
}

/// What is to be written down of a crash.
pub(crate) struct Told {
    /// One word.
    pub(crate) failure: &'static str,
    pub(crate) trap: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) frames: Vec<String>,
    pub(crate) omitted_frames: usize,
}

impl Told {
    pub(crate) fn of(failure: &Failure) -> Told {
        let Some(error) = failure.source_error() else {
            return Told::plain(failure.label(), failure.to_string());
        };
        let report = trap_report(error);
        Told {
            failure: failure.label(),
            trap: report.code,
            message: report.message,
            frames: report.frames.iter().map(ToString::to_string).collect(),
            omitted_frames: report.omitted_frames,
        }
    }

    /// A crash without a stack.
    pub(crate) fn plain(failure: &'static str, message: String) -> Told {
        Told {
            failure,
            trap: None,
            message,
            frames: Vec::new(),
            omitted_frames: 0,
        }
    }
}

impl Ring {
    /// Writes a crash down; the oldest gives way.
    pub(crate) fn note(&self, revision: &Revision, lost: &Lost, told: Told) {
        let remain = revision.remains.take(lost.instance);
        let lines = match lost.instance {
            0 => Vec::new(),
            instance => revision.log.recent(instance, LINES_KEPT),
        };
        let mut kept = self.0.lock();
        kept.total += 1;
        let report = CrashReport {
            number: kept.total,
            time: rfc3339(SystemTime::now()),
            revision: revision.number(),
            instance: (lost.instance != 0).then_some(lost.instance),
            failure: told.failure.to_owned(),
            trap: told.trap.map(str::to_owned),
            message: told.message,
            frames: told.frames,
            omitted_frames: u32::try_from(told.omitted_frames).unwrap_or(u32::MAX),
            requests: lost.doing.iter().map(request).collect(),
            memory_bytes: remain.as_ref().map(|remain| remain.memory),
            cpu_us: micros(lost.cpu),
            log: lines.into_iter().map(line).collect(),
            core_dump: None,
        };
        if kept.reports.len() >= CRASHES_KEPT {
            kept.reports.pop_front();
        }
        let dump = remain.and_then(|remain| remain.dump);
        kept.reports.push_back((report, dump));
    }

    /// How many there have been, and the newest of them. Blocking: looks which core dumps are there.
    pub fn all(&self) -> (u64, Vec<CrashReport>) {
        let (total, kept) = {
            let kept = self.0.lock();
            (kept.total, kept.reports.clone())
        };
        let reports = kept.into_iter().map(|(report, dump)| CrashReport {
            core_dump: dump.and_then(|dump| Some(dump.path()?.display().to_string())),
            ..report
        });
        (total, reports.collect())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn request(doing: &Doing) -> CrashedRequest {
    let id = doing.id.as_str().to_owned();
    match &doing.work {
        Work::Answer {
            method,
            target,
            route,
        } => {
            let path = target.as_ref().map_or("/", |target| target.path());
            CrashedRequest {
                id,
                method: method.as_str().to_owned(),
                path: path[..path.floor_char_boundary(PATH_KEPT)].to_owned(),
                route: route.as_deref().map(str::to_owned),
            }
        }
        Work::Call { caller, function } => CrashedRequest {
            id,
            method: format!("call by {caller}"),
            path: function.to_string(),
            route: None,
        },
    }
}

fn line(line: RecentLine) -> CrashLine {
    CrashLine {
        time: rfc3339(line.time),
        stream: line.stream.name().to_owned(),
        text: line.text,
    }
}
