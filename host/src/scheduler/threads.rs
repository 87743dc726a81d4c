//! The threads of the second class: of low priority, and with short slices where the system knows
//! such a thing.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use skep_core::fair::ShareId;
use tokio::runtime::Handle;

use super::job::Runnable;
use super::{Scheduler, Taken};
use crate::instance::meter::thread_cpu;
use crate::memory::give_back;

/// The threads' nice value. A thread that serves has ten times the weight of one at 10: what
/// computes gets what serving leaves, and a tenth where that is nothing.
const NICE: i32 = 10;

/// How long the system lets such a thread run before it looks for another, where it can be told
/// (Linux 6.12 and later): shorter than the default of some 3 ms, which everybody else would wait.
const SLICE: Duration = Duration::from_micros(200);

/// So long without work, a thread is idle.
const IDLE: Duration = Duration::from_millis(200);

/// The threads; dropped, they end with the slices that they are at.
pub struct Threads {
    scheduler: Arc<Scheduler>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// So many threads. Guests find the timers and sockets of `runtime` on them.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start(
        scheduler: &Arc<Scheduler>,
        count: usize,
        runtime: &Handle,
    ) -> std::io::Result<Threads> {
        let mut started = Threads {
            scheduler: scheduler.clone(),
            threads: Vec::with_capacity(count),
        };
        for _ in 0..count {
            let (scheduler, runtime) = (scheduler.clone(), runtime.clone());
            let thread = std::thread::Builder::new()
                .name("skep-compute".into())
                .spawn(move || {
                    give_way();
                    let _context = runtime.enter();
                    work(&scheduler);
                })?;
            started.threads.push(thread);
        }
        Ok(started)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.scheduler.end();
        for thread in self.threads.drain(..) {
            // A slice ends at the next tick, and a panic in it has been caught.
            let _ = thread.join();
        }
    }
}

fn work(scheduler: &Scheduler) {
    loop {
        match scheduler.take(Some(IDLE)) {
            Taken::Job(share, job) => run(scheduler, share, job),
            Taken::End => return,
            Taken::Nothing => {
                give_back(true);
                match scheduler.take(None) {
                    Taken::Job(share, job) => run(scheduler, share, job),
                    Taken::Nothing | Taken::End => return,
                }
            }
        }
    }
}

fn run(scheduler: &Scheduler, share: ShareId, job: Arc<dyn Runnable>) {
    let began = thread_cpu();
    job.run();
    let used = thread_cpu().saturating_sub(began);
    let now = scheduler.now();
    scheduler.queue.lock().fair.charge(share, used, now);
}

/// Lowers this thread's priority. Without effect where the system does not want to.
pub(crate) fn give_way() {
    /// `struct sched_attr` of sched_setattr(2), as it was at first.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    const NORMAL: u32 = 0;
    let attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: NORMAL,
        flags: 0,
        nice: NICE,
        priority: 0,
        runtime: SLICE.as_nanos() as u64,
        deadline: 0,
        period: 0,
    };
    // SAFETY: `attributes` is a valid sched_attr of the size that it says, which the call only
    // reads; 0 is this thread.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &attributes, 0) };
    if set != 0 {
        // SAFETY: no memory is involved; 0 is this thread.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
    }
}
