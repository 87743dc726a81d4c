//! A background service: a component that exports `wasi:cli/run` and runs until it returns.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::{Accessor, InstancePre};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::{p2, p3};

use super::meter::Meter;
use super::{Failure, GuestState, Mould};
use crate::scheduler::Computation;

/// A program of either WASI.
pub enum CommandPre {
    /// `wasi:cli/run@0.2`
    V02(p2::bindings::CommandPre<GuestState>),
    /// `wasi:cli/run@0.3`
    V03(p3::bindings::CommandPre<GuestState>),
}

impl CommandPre {
    /// # Errors
    /// If the component is no program.
    pub(crate) fn new(pre: InstancePre<GuestState>) -> wasmtime::Result<CommandPre> {
        match p3::bindings::CommandPre::new(pre.clone()) {
            Ok(command) => Ok(CommandPre::V03(command)),
            Err(_) => Ok(CommandPre::V02(p2::bindings::CommandPre::new(pre)?)),
        }
    }
}

/// The compiled and linked code of a revision, with the mould of its instances.
pub struct Code {
    pub(crate) pre: CommandPre,
    pub(crate) mould: Mould,
}

/// A worker computes for as long as it likes, a tick at a time; it is not a call with a CPU limit.
const UNLIMITED: Duration = Duration::MAX;

/// How a program ended that was not stopped.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It returned, or exited, with success.
    Ok,
    /// It returned an error or exited with this code.
    Code(i32),
}

/// A program that has ended.
pub(crate) struct Ran {
    pub(crate) instance: u64,
    pub(crate) cpu: Duration,
    pub(crate) result: Result<Exit, Failure>,
}

/// Runs the program once, to its end. Dropping the future ends the instance.
pub(crate) async fn run(code: Arc<Code>) -> Ran {
    let meter = Meter::new(UNLIMITED);
    let share = code.mould.share.clone();
    let instance = code.mould.number();
    let running = run_in_store(code, instance, meter.clone());
    let ended = Computation::background(&share, &meter, running).await;
    let result = ended.unwrap_or_else(|panicked| Err(Failure::of_panic(panicked)));
    Ran {
        instance,
        cpu: meter.used(),
        result,
    }
}

async fn run_in_store(code: Arc<Code>, instance: u64, meter: Arc<Meter>) -> Result<Exit, Failure> {
    let mut store = code.mould.store(instance, meter);
    let at_work = store.data().set_to_work();
    let called = call(&code, &mut store).await;
    drop(at_work);
    let result = match called {
        Ok(Ok(Ok(()))) => Ok(Exit::Ok),
        Ok(Ok(Err(()))) => Ok(Exit::Code(1)),
        Ok(Err(error)) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(0)) => Ok(Exit::Ok),
            Some(I32Exit(code)) => Ok(Exit::Code(*code)),
            None => Err(Failure::of_call(error, store.data())),
        },
        Err(failure) => Err(failure),
    };
    match &result {
        Ok(Exit::Ok) => {}
        Ok(Exit::Code(_)) => code.mould.bury(store, None),
        Err(failure) => code.mould.bury(store, Some(failure)),
    }
    result
}

/// What the program returned, or the error that ended it; a failure if it could not be begun.
async fn call(
    code: &Code,
    store: &mut Store<GuestState>,
) -> Result<wasmtime::Result<Result<(), ()>>, Failure> {
    Ok(match &code.pre {
        CommandPre::V02(pre) => {
            let made = pre.instantiate_async(&mut *store).await;
            let command = made.map_err(|error| Failure::of_instantiation(error, store.data()))?;
            command.wasi_cli_run().call_run(store).await
        }
        CommandPre::V03(pre) => {
            let made = pre.instantiate_async(&mut *store).await;
            let command = made.map_err(|error| Failure::of_instantiation(error, store.data()))?;
            let run = async |accessor: &Accessor<GuestState>| {
                command.wasi_cli_run().call_run(accessor).await
            };
            store
                .run_concurrent(run)
                .await
                .and_then(|returned| returned)
        }
    })
}
