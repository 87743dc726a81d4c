//! Who answers what a service imports: a service by its name, and in each generation the revision that
//! it has there.

use std::sync::Arc;

use crate::generation::{Generation, Home, Slot};
use crate::instance::errand::Errand;
use crate::service::{CallCause, CallError, Closed, Function, Refused, Service};

/// See the module.
pub(crate) struct Callee {
    name: Arc<str>,
    slot: Slot,
    home: Arc<Home>,
}

impl Callee {
    /// `home` is the caller's.
    pub(crate) fn new(name: Arc<str>, slot: Slot, home: Arc<Home>) -> Callee {
        Callee { name, slot, home }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// As the generation of the errand has it.
    ///
    /// # Errors
    /// If no request says which generation, and the caller's own are over.
    pub(super) fn of(&self, errand: &Errand) -> Result<Arc<Service>, CallCause> {
        let in_it = |generation: &Arc<Generation>| generation.service(self.slot).cloned();
        let found = match &errand.generation {
            Some(generation) => in_it(generation),
            None => self.home.generation().as_ref().and_then(in_it),
        };
        found.ok_or_else(|| {
            CallCause::Refused(Refused::Closed(Closed {
                revision: 0,
                reason: "the calling revision has been replaced".to_owned(),
                coming: false,
                retry_at: None,
            }))
        })
    }

    pub(super) fn call_error(&self, function: &Function, cause: CallCause) -> CallError {
        CallError {
            service: self.name.clone(),
            function: function.clone(),
            cause,
        }
    }
}
