//! Futures that behave like guests: they compute, tick and yield as the epoch callback does.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;

use super::*;
use crate::instance::meter::{Meter, Verdict, thread_cpu};

const MS: Duration = Duration::from_millis(1);

/// Computes for so long on whatever thread polls it, with a tick each millisecond. Tells on how
/// many slices.
async fn compute(meter: Arc<Meter>, for_: Duration) -> u32 {
    let mut left = for_;
    let mut slices = 1;
    while !left.is_zero() {
        let began = thread_cpu();
        while thread_cpu() - began < MS {
            std::hint::spin_loop();
        }
        left = left.saturating_sub(MS);
        if meter.tick() == Verdict::Yield {
            slices += 1;
            tokio::task::yield_now().await;
        }
    }
    slices
}

fn thread_name() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

struct Setting {
    share: Arc<Share>,
    meter: Arc<Meter>,
    _threads: Threads,
}

fn setting(threads: usize) -> Setting {
    let scheduler = Scheduler::new();
    let threads = Threads::start(&scheduler, threads, &Handle::current()).unwrap();
    Setting {
        share: scheduler.share(100, None),
        meter: Meter::new(Duration::MAX),
        _threads: threads,
    }
}

/// Set when dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

async fn until(what: &str, satisfied: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if satisfied() {
            return;
        }
        tokio::time::sleep(MS).await;
    }
    panic!("not within seconds: {what}");
}

#[tokio::test]
async fn a_short_call_stays_where_it_is() {
    let Setting { share, meter, .. } = &setting(1);
    let here = thread_name();
    let call = Computation::call(share, meter, async { thread_name() });
    assert_eq!(call.await.unwrap(), here);
}

#[tokio::test]
async fn a_long_call_goes_on_elsewhere_and_its_result_comes_back() {
    let Setting { share, meter, .. } = &setting(1);
    let computing = {
        let meter = meter.clone();
        async move {
            let began = thread_name();
            let slices = compute(meter, 20 * MS).await;
            (began, slices, thread_name())
        }
    };
    let (began, slices, ended) = Computation::call(share, meter, computing).await.unwrap();
    assert_ne!(began, "skep-compute");
    assert_eq!(ended, "skep-compute");
    assert!(slices > 5, "{slices}");
    assert!(meter.used() >= 20 * MS);
}

#[tokio::test]
async fn waiting_in_the_second_class_is_woken_and_has_timers() {
    let Setting { share, meter, .. } = &setting(1);
    let waiting = async {
        for _ in 0..5 {
            tokio::time::sleep(2 * MS).await;
        }
        thread_name()
    };
    let call = Computation::background(share, meter, waiting);
    assert_eq!(call.await.unwrap(), "skep-compute");
    assert!(meter.used() < 100 * MS, "waiting is not charged");
}

#[tokio::test]
async fn a_panic_is_a_result_in_either_class() {
    let Setting { share, meter, .. } = &setting(1);
    for background in [false, true] {
        let panicking = async { panic!("on purpose") };
        let call: Computation<()> = if background {
            Computation::background(share, meter, panicking)
        } else {
            Computation::call(share, meter, panicking)
        };
        assert_eq!(call.await.unwrap_err().0, "on purpose");
    }
}

#[tokio::test]
async fn what_serves_many_comes_back_when_it_waits() {
    let Setting { share, meter, .. } = &setting(1);
    let here = thread_name();
    let serving = {
        let meter = meter.clone();
        async move {
            compute(meter, 5 * MS).await;
            let computed_on = thread_name();
            tokio::time::sleep(5 * MS).await;
            (computed_on, thread_name())
        }
    };
    let (computed_on, after) = Computation::of_many(share, meter, serving).await.unwrap();
    assert_eq!(computed_on, "skep-compute");
    assert_eq!(after, here);
}

#[tokio::test]
async fn a_nudge_reaches_what_waits_in_the_second_class() {
    let setting = setting(1);
    let (polls, over) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let waiting = {
        let (polls, over) = (polls.clone(), over.clone());
        std::future::poll_fn(move |_| {
            polls.fetch_add(1, Ordering::SeqCst);
            match over.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
    };
    let mut call = Computation::background(&setting.share, &setting.meter, waiting);
    assert!(futures::poll!(&mut call).is_pending());
    until("it waits", || polls.load(Ordering::SeqCst) == 1).await;
    over.store(true, Ordering::SeqCst);
    call.nudge();
    assert!(call.await.is_ok());
}

#[tokio::test]
async fn a_service_that_uses_the_first_class_up_begins_in_the_second() {
    let Setting { share, meter, .. } = &setting(1);
    let mut began_in_second = false;
    for _ in 0..200 {
        meter.reset();
        let computing = {
            let meter = meter.clone();
            async move {
                let began = thread_name();
                compute(meter, 2 * MS).await;
                began
            }
        };
        let began = Computation::call(share, meter, computing).await.unwrap();
        began_in_second |= began == "skep-compute";
    }
    assert!(began_in_second);
}

/// A call in the second class, polled once, that computes for ever or waits for ever.
async fn endless(
    setting: &Setting,
    computes: bool,
    started: &Arc<AtomicU32>,
) -> (Computation<()>, Arc<AtomicBool>) {
    let dropped = Arc::new(AtomicBool::new(false));
    let (flag, meter, started) = (
        Flag(dropped.clone()),
        setting.meter.clone(),
        started.clone(),
    );
    let mut call = Computation::background(&setting.share, &setting.meter, async move {
        let _flag = flag;
        started.fetch_add(1, Ordering::SeqCst);
        if computes {
            compute(meter, Duration::MAX).await;
        }
        std::future::pending::<()>().await;
    });
    assert!(futures::poll!(&mut call).is_pending());
    (call, dropped)
}

#[tokio::test]
async fn dropping_ends_it_on_a_thread_in_the_queue_and_while_it_waits() {
    let setting = setting(1);
    let started = Arc::new(AtomicU32::new(0));
    let (computing, computing_dropped) = endless(&setting, true, &started).await;
    until("it computes", || started.load(Ordering::SeqCst) == 1).await;
    let (queued, queued_dropped) = endless(&setting, true, &started).await;
    drop(queued);
    until("the queued one is gone", || {
        queued_dropped.load(Ordering::SeqCst)
    })
    .await;
    drop(computing);
    until("the computing one is gone", || {
        computing_dropped.load(Ordering::SeqCst)
    })
    .await;

    let begun = started.load(Ordering::SeqCst);
    let (waiting, waiting_dropped) = endless(&setting, false, &started).await;
    until("it has begun", || started.load(Ordering::SeqCst) > begun).await;
    drop(waiting);
    until("the waiting one is gone", || {
        waiting_dropped.load(Ordering::SeqCst)
    })
    .await;
    until("nothing waits", || setting.share.scheduler.waiting() == 0).await;
}

#[tokio::test]
async fn after_the_end_nothing_runs_and_its_owner_drops_it() {
    let setting = setting(1);
    let started = Arc::new(AtomicU32::new(0));
    let mut calls = Vec::new();
    for _ in 0..8 {
        calls.push(endless(&setting, true, &started).await);
    }
    drop(setting);
    let begun = started.load(Ordering::SeqCst);
    tokio::time::sleep(10 * MS).await;
    assert_eq!(started.load(Ordering::SeqCst), begun);
    let dropped: Vec<_> = calls.into_iter().map(|(_, dropped)| dropped).collect();
    assert!(dropped.iter().all(|dropped| dropped.load(Ordering::SeqCst)));
}
