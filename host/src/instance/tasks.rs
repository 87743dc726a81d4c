//! For which of the requests on an instance a call is that its guest makes: by the tasks that wasmtime
//! keeps of the guest's calls (Component Model, `Concurrency.md`).

use wasmtime::StoreContextMut;
use wasmtime::component::GuestTaskId;

use super::GuestState;
use super::errand::Errand;

/// The requests on an instance, with the guest's tasks for them.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Vec<Task>);

#[derive(Debug)]
struct Task {
    id: GuestTaskId,
    /// The request's on its instance.
    number: u64,
    errand: Errand,
}

impl Tasks {
    /// The guest's task `id` is for that request.
    pub(super) fn begin(&mut self, id: GuestTaskId, number: u64, errand: Errand) {
        self.0.push(Task { id, number, errand });
    }

    /// Forgets those whose requests are over: wasmtime may give their tasks' numbers to others.
    pub(super) fn keep(&mut self, goes_on: impl Fn(u64) -> bool) {
        self.0.retain(|task| goes_on(task.number));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What the call that the guest is making is for. Where that is not known, since its request is over, it
/// is for all that the instance is at work for.
///
/// # Errors
/// If wasmtime has lost count of the guest's tasks.
pub(crate) fn errand(mut store: StoreContextMut<'_, GuestState>) -> wasmtime::Result<Errand> {
    let identity = store.data().identity();
    if store.data().tasks.0.is_empty() {
        return Ok(store.data().errand().next(identity));
    }
    // The calls of the guest's components among each other, up to the one that the host made.
    let first = store.async_call_stack()?.last();
    let state = store.data();
    let mut tasks = state.tasks.0.iter();
    let task = tasks.find(|task| Some(task.id) == first);
    let errand = task.map_or(state.errand(), |task| &task.errand);
    Ok(errand.next(identity))
}
