//! Calls by the operator (`skep call`): names and values are text on both ends, and in between the
//! call goes the way of services' calls.
//!
//! Before it: `control`. After it: `service` admits the call and runs it. Only data can be written
//! down: functions with handles, streams or futures are refused.

mod understand;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use skep_core::{contract, duration};
use wasmtime::component::Val;

pub use self::understand::{NotUnderstood, Understood};
use crate::gateway::RequestId;
use crate::generation::Generation;
use crate::instance::cargo::{Cargo, Signature, Values};
use crate::instance::errand::Errand;
use crate::service::{CallError, CallKind, Function, Invocation, Revision, Service, Wanted};
use crate::trace::{Spent, Tracer};

/// The caller's name in reports of crashes. No service can have it: there is a space in it.
const OPERATOR: &str = "the operator";

/// What is to be called, as it is written.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// An interface, or as much of its name as is unambiguous.
    pub interface: String,
    /// `get`; of a static function of a resource `resource.get`.
    pub function: String,
    /// One WAVE text each.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// How long the caller waits. The service's own deadline holds beside it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::whole::optional"
    )]
    pub timeout_ms: Option<u64>,
    /// The result as JSON instead of WAVE.
    #[serde(default)]
    pub json: bool,
}

/// What a service exports, for listings.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Listed {
    /// With its version.
    pub interface: String,
    /// In the component's order.
    pub functions: Vec<ListedFunction>,
}

/// One function of it.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListedFunction {
    /// As the component has it: `get`, `[static]cart.open`.
    pub name: String,
    /// `func(id: u32) -> option<string>`
    pub signature: String,
    /// All its values are data, so that it can be called by the operator.
    pub callable: bool,
}

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum NotAnswered {
    /// The service was not there, or failed.
    #[error(transparent)]
    Failed(#[from] CallError),
    /// The caller did not want to wait any longer.
    #[error(
        "service `{service}` did not answer {function} within the time-out of {}",
        duration::show(*timeout)
    )]
    Late {
        /// The service.
        service: Arc<str>,
        /// What was called.
        function: Function,
        /// The caller's.
        timeout: Duration,
    },
}

/// A service as the operator calls it.
pub struct Callee {
    generation: Arc<Generation>,
    service: Arc<Service>,
    /// What is exported is known also while nobody answers.
    revision: Arc<Revision>,
    tracer: Arc<Tracer>,
}

/// A call that has come to its end.
#[derive(Debug)]
pub struct Answered {
    /// What was called, by its whole name.
    pub function: Function,
    /// None if the function returns nothing.
    pub result: Option<Val>,
}

impl Callee {
    /// This service of the generation. `revision` answers, or would.
    pub fn new(
        generation: Arc<Generation>,
        service: Arc<Service>,
        revision: Arc<Revision>,
        tracer: Arc<Tracer>,
    ) -> Callee {
        Callee {
            generation,
            service,
            revision,
            tracer,
        }
    }

    /// What it exports.
    pub fn listing(&self) -> Vec<Listed> {
        let function = |function: &contract::Function| ListedFunction {
            name: function.name.to_string(),
            signature: function.signature(),
            callable: function.is_data(),
        };
        let interface = |interface: &contract::Interface| Listed {
            interface: interface.name.text().to_owned(),
            functions: interface.functions.iter().map(function).collect(),
        };
        self.revision.exports().iter().map(interface).collect()
    }

    /// What is meant by a text. Reads the arguments, which takes some time where they are long.
    ///
    /// # Errors
    /// If it is nothing that can be called like this.
    pub fn understand(&self, call: &Call) -> Result<Understood, NotUnderstood> {
        understand::understand(self.service.name(), self.revision.exports(), call)
    }

    /// Calls it. Dropping the future cancels the guest.
    ///
    /// # Errors
    /// If the service was not there, or failed, or took too long.
    pub async fn call(&self, understood: Understood) -> Result<Answered, NotAnswered> {
        let Understood {
            function,
            arguments,
            results,
            timeout,
        } = understood;
        let began = Instant::now();
        let request = RequestId::make();
        let mut invocation = Invocation {
            caller: OPERATOR.into(),
            function: function.clone(),
            errand: Errand {
                request: Some(request.clone()),
                generation: Some(self.generation.clone()),
                trace: self.tracer.call(),
                deadline: timeout.and_then(|timeout| began.checked_add(timeout)),
                ..Errand::default()
            },
            signature: Arc::new(Signature::plain(arguments.len(), results)),
            arguments: Cargo::Values(Values::plain(arguments)),
            wanted: Wanted::Any,
            mutual: false,
            presence: None,
            spent: Spent::default(),
            repeatable: None,
        };
        let answered = self.service.invoke(&mut invocation, began).await;
        let answered = answered.map_err(|unanswered| {
            let error = self.service.call_error(&function, unanswered.cause);
            self.not_answered(error, began, timeout)
        });
        let outcome = match &answered {
            Ok(_) => "ok".to_owned(),
            Err(error) => crate::log::chain(error).to_string(),
        };
        tracing::info!(
            service = %self.service.name(),
            %function,
            request_id = request.as_str(),
            duration_ms = began.elapsed().as_secs_f64() * 1000.0,
            outcome,
            "a function was called by the operator"
        );
        let result = match answered? {
            Cargo::Values(values) => values.into_plain().pop(),
            // Messages answer messages.
            Cargo::Message(_) => None,
        };
        Ok(Answered { function, result })
    }

    fn not_answered(
        &self,
        error: CallError,
        began: Instant,
        timeout: Option<Duration>,
    ) -> NotAnswered {
        match timeout {
            Some(timeout) if error.kind() == CallKind::Deadline && began.elapsed() >= timeout => {
                NotAnswered::Late {
                    service: error.service,
                    function: error.function,
                    timeout,
                }
            }
            _ => NotAnswered::Failed(error),
        }
    }
}
