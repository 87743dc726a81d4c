//! Streams, futures, tasks, waits and handles, far more than anybody needs.
use std::future::Future;
use std::mem::forget;
use std::pin::Pin;
use std::task::{Context, Waker};

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::{ErrorCode, Fields};
use wasip3::random::random::get_random_bytes;
use wasip3::{spawn_local, wit_future, wit_stream};

pub(crate) fn streams(count: u64) -> String {
    (0..count).for_each(|_| forget(wit_stream::new::<u8>()));
    format!("{count} streams\n")
}

pub(crate) fn futures(count: u64) -> String {
    let never = || -> Result<(), ErrorCode> { Ok(()) };
    (0..count).for_each(|_| forget(wit_future::new(never)));
    format!("{count} futures\n")
}

/// Tasks that live as long as the instance.
pub(crate) fn tasks(count: u64) -> String {
    for _ in 0..count {
        spawn_local(wait_for(u64::MAX));
    }
    format!("{count} tasks\n")
}

/// Calls of the host under way at the same time, each of them a task in the host.
pub(crate) async fn waits(count: u64) -> String {
    let mut waits: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for _ in 0..count {
        let mut wait: Pin<Box<dyn Future<Output = ()>>> = Box::pin(wait_for(u64::MAX));
        // The first poll begins the call.
        let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        waits.push(wait);
    }
    forget(waits);
    format!("{count} waits\n")
}

pub(crate) fn fields(count: u64) -> String {
    let fields = Fields::new();
    for n in 0..count {
        if let Err(error) = fields.append(&format!("x-flood-{n}"), b"a value of some length") {
            return format!("refused after {n}: {error:?}\n");
        }
    }
    format!("{count} fields\n")
}

pub(crate) fn handles(count: u64) -> String {
    (0..count).for_each(|_| forget(Fields::new()));
    format!("{count} handles\n")
}

pub(crate) fn random(bytes: u64) -> String {
    format!("{} bytes\n", get_random_bytes(bytes).len())
}

pub(crate) fn log_lines() -> ! {
    loop {
        println!("a line that nobody wants to read");
    }
}
