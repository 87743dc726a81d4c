//! Calls by the operator (`skep call`): names and values are text on both ends, and in between the
//! call goes the way of services' calls.
//!
//! Before it: `control`. After it: `service` admits the call and runs it. Only data can be written
//! down: functions with handles, streams or futures are refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use skep_core::{contract, duration};
use wasmtime::component::Val;

use crate::gateway::RequestId;
use crate::instance::cargo::{Cargo, Signature, Values};
use crate::instance::errand::Errand;
use crate::service::{CallError, CallKind, Function, Invocation, Revision, Service, Wanted};
use crate::trace::{Spent, Tracer};
use crate::wave;

/// The caller's name in reports of crashes. No service can have it: there is a space in it.
const OPERATOR: &str = "the operator";

/// Names told of where one was not understood.
const NAMES_TOLD: usize = 16;

/// What is to be called, as it is written.
#[derive(Debug, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The result as JSON instead of WAVE.
    #[serde(default)]
    pub json: bool,
}

/// What a service exports, for listings.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listed {
    /// With its version.
    pub interface: String,
    /// In the component's order.
    pub functions: Vec<ListedFunction>,
}

/// One function of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListedFunction {
    /// As the component has it: `get`, `[static]cart.open`.
    pub name: String,
    /// `func(id: u32) -> option<string>`
    pub signature: String,
    /// All its values are data, so that it can be called by the operator.
    pub callable: bool,
}

/// Why a call was not even tried.
#[derive(Debug, thiserror::Error)]
pub enum NotUnderstood {
    /// There is nothing to call.
    #[error("`{service}` exports no interface of its own")]
    NoInterfaces {
        /// The service.
        service: Arc<str>,
    },
    /// It has others.
    #[error("`{service}` exports no interface `{written}`; it exports {there_are}")]
    NoInterface {
        /// The service.
        service: Arc<str>,
        /// What was asked for.
        written: String,
        /// What it has.
        there_are: String,
    },
    /// It has several of that name.
    #[error("`{written}` may be any of {there_are}; write more of the name")]
    AnyInterface {
        /// What was asked for.
        written: String,
        /// What it may be.
        there_are: String,
    },
    /// The interface has others.
    #[error("`{interface}` has no function `{written}`; it has {there_are}")]
    NoFunction {
        /// The interface.
        interface: String,
        /// What was asked for.
        written: String,
        /// What it has.
        there_are: String,
    },
    /// It has values that mean nothing outside of the services.
    #[error(
        "`{function}` can be called by services alone: handles, streams and futures cannot be \
         written down. It is {signature}"
    )]
    NotData {
        /// The function.
        function: Function,
        /// Its type.
        signature: String,
    },
    /// There are too many arguments, or too few.
    #[error("`{function}` takes {expected}, not {found}. It is {signature}")]
    Count {
        /// The function.
        function: Function,
        /// `2 arguments`
        expected: String,
        /// How many there are.
        found: usize,
        /// Its type.
        signature: String,
    },
    /// An argument is not what it should be.
    #[error("argument {number} (`{name}`): {why}. `{function}` is {signature}")]
    Argument {
        /// Counted from 1.
        number: usize,
        /// The parameter.
        name: Arc<str>,
        /// What is wrong with it.
        why: String,
        /// The function.
        function: Function,
        /// Its type.
        signature: String,
    },
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
    service: Arc<Service>,
    /// What is exported is known also while nobody answers.
    revision: Arc<Revision>,
    tracer: Arc<Tracer>,
}

/// A call that has been understood.
#[derive(Debug)]
pub struct Understood {
    function: Function,
    arguments: Vec<Val>,
    results: usize,
    timeout: Option<Duration>,
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
    /// This service. `revision` answers, or would.
    pub fn new(service: Arc<Service>, revision: Arc<Revision>, tracer: Arc<Tracer>) -> Callee {
        Callee {
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
        let interface = self.interface(&call.interface)?;
        let ty = function(interface, &call.function)?;
        let function = Function {
            interface: interface.name.text().into(),
            name: ty.name.clone(),
        };
        let signature = || ty.signature();
        if !ty.is_data() {
            let signature = signature();
            return Err(NotUnderstood::NotData {
                function,
                signature,
            });
        }
        let mut values = wave::Values::default();
        let mut arguments = Vec::with_capacity(ty.params.len());
        for (place, param) in ty.params.iter().enumerate() {
            let value = match (call.arguments.get(place), &param.ty) {
                (Some(text), ty) => values.read(text, ty),
                // What may be left out in a record may be left out at the end.
                (None, contract::Type::Option(_)) => Ok(Val::Option(None)),
                (None, _) => return Err(miscounted(function, ty, call.arguments.len())),
            };
            let value = value.map_err(|unreadable| NotUnderstood::Argument {
                number: place + 1,
                name: param.name.clone(),
                why: unreadable.to_string(),
                function: function.clone(),
                signature: signature(),
            })?;
            arguments.push(value);
        }
        if call.arguments.len() > arguments.len() {
            return Err(miscounted(function, ty, call.arguments.len()));
        }
        Ok(Understood {
            function,
            arguments,
            results: usize::from(ty.result.is_some()),
            timeout: call.timeout_ms.map(Duration::from_millis),
        })
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

    fn interface(&self, written: &str) -> Result<&contract::Interface, NotUnderstood> {
        let exports = self.revision.exports();
        if let Some(exact) = exports.iter().find(|export| export.name.text() == written) {
            return Ok(exact);
        }
        let meant = exports
            .iter()
            .filter(|export| export.name.is_meant_by(written));
        let meant: Vec<&contract::Interface> = meant.collect();
        let service = || self.service.name().clone();
        let names = |interfaces: &mut dyn Iterator<Item = &contract::Interface>| {
            told(interfaces.map(|interface| interface.name.text()))
        };
        match &*meant {
            [one] => Ok(one),
            [] if exports.is_empty() => {
                let service = service();
                Err(NotUnderstood::NoInterfaces { service })
            }
            [] => Err(NotUnderstood::NoInterface {
                service: service(),
                written: written.to_owned(),
                there_are: names(&mut exports.iter()),
            }),
            several => Err(NotUnderstood::AnyInterface {
                written: written.to_owned(),
                there_are: names(&mut several.iter().copied()),
            }),
        }
    }
}

/// The function of that name; of a resource's `resource.function` is enough.
fn function<'a>(
    interface: &'a contract::Interface,
    written: &str,
) -> Result<&'a contract::Function, NotUnderstood> {
    let forms = [
        written.to_owned(),
        format!("[static]{written}"),
        format!("[method]{written}"),
        format!("[constructor]{written}"),
    ];
    let found = forms.iter().find_map(|name| interface.function(name));
    found.ok_or_else(|| NotUnderstood::NoFunction {
        interface: interface.name.text().to_owned(),
        written: written.to_owned(),
        there_are: told(interface.functions.iter().map(|function| &*function.name)),
    })
}

fn miscounted(function: Function, ty: &contract::Function, found: usize) -> NotUnderstood {
    let most = ty.params.len();
    let optional = |param: &&contract::Named| matches!(param.ty, contract::Type::Option(_));
    let least = most - ty.params.iter().rev().take_while(optional).count();
    let expected = match (least, most) {
        (0, 0) => "no arguments".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        (least, most) if least == most => format!("{most} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    };
    NotUnderstood::Count {
        function,
        expected,
        found,
        signature: ty.signature(),
    }
}

/// Some names in a sentence.
fn told<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let told: Vec<String> = names
        .iter()
        .take(NAMES_TOLD)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().checked_sub(told.len()) {
        Some(more @ 1..) => format!("{} and {more} more", told.join(", ")),
        _ => told.join(", "),
    }
}
