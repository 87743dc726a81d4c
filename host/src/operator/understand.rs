//! What the operator means by the names and values that were written, or what is wrong with them.

use std::sync::Arc;
use std::time::Duration;

use skep_core::contract;
use wasmtime::component::Val;

use super::Call;
use crate::service::Function;
use crate::wave;

/// Names told of where one was not understood.
const NAMES_TOLD: usize = 16;

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

/// A call that has been understood.
#[derive(Debug)]
pub struct Understood {
    pub(super) function: Function,
    pub(super) arguments: Vec<Val>,
    /// How many it has.
    pub(super) results: usize,
    pub(super) timeout: Option<Duration>,
}

/// What is meant by a call of a service with these exports.
///
/// # Errors
/// If it is nothing that can be called like this.
pub(super) fn understand(
    service: &Arc<str>,
    exports: &[contract::Interface],
    call: &Call,
) -> Result<Understood, NotUnderstood> {
    let interface = interface(service, exports, &call.interface)?;
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

/// The interface of that name; its end is enough where there is but one.
fn interface<'a>(
    service: &Arc<str>,
    exports: &'a [contract::Interface],
    written: &str,
) -> Result<&'a contract::Interface, NotUnderstood> {
    if let Some(exact) = exports.iter().find(|export| export.name.text() == written) {
        return Ok(exact);
    }
    let meant = exports
        .iter()
        .filter(|export| export.name.is_meant_by(written));
    let meant: Vec<&contract::Interface> = meant.collect();
    let service = || service.clone();
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

#[cfg(test)]
mod tests {
    use skep_core::contract::{Interface, InterfaceName, Named, Type};

    use super::*;

    fn exporting(interfaces: &[&str]) -> Vec<Interface> {
        let param = |name: &str, ty| Named {
            name: name.into(),
            ty,
        };
        let optional = Type::Option(Arc::new(Type::U8));
        let find = contract::Function {
            name: "find".into(),
            asynchronous: false,
            params: [param("text", Type::String), param("max", optional)].into(),
            result: None,
        };
        let one = |name: &&str| Interface {
            name: InterfaceName::new(name),
            functions: vec![find.clone()],
            resources: Vec::new(),
        };
        interfaces.iter().map(one).collect()
    }

    fn said(exports: &[&str], interface: &str, arguments: &[&str]) -> Result<usize, String> {
        let call = Call {
            interface: interface.to_owned(),
            function: "find".to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            timeout_ms: None,
            json: false,
        };
        let understood = understand(&"catalog".into(), &exporting(exports), &call);
        let arguments = understood.map(|understood| understood.arguments.len());
        arguments.map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_that_may_be_several_is_answered_with_these() {
        let both = ["shop:catalog/products@0.2.0", "shop:stock/products@1.0.0"];
        let error = said(&both, "products", &["\"a\""]).unwrap_err();
        assert_eq!(
            error,
            "`products` may be any of `shop:catalog/products@0.2.0`, `shop:stock/products@1.0.0`; \
             write more of the name"
        );
        assert_eq!(said(&both, "stock/products", &["\"a\""]), Ok(2));
        // One that is written whole is meant, also where it ends another.
        let ends = ["products", "shop:stock/products"];
        assert_eq!(said(&ends, "products", &["\"a\""]), Ok(2));
        let error = said(&[], "products", &[]).unwrap_err();
        assert_eq!(error, "`catalog` exports no interface of its own");
    }

    #[test]
    fn options_at_the_end_may_be_left_out_and_nothing_else() {
        let one = ["shop:catalog/products@0.2.0"];
        assert_eq!(said(&one, "products", &["\"a\""]), Ok(2));
        assert_eq!(said(&one, "products", &["\"a\"", "none"]), Ok(2));
        for wrong in [&[][..], &["\"a\"", "1", "2"]] {
            let error = said(&one, "products", wrong).unwrap_err();
            assert!(error.contains("takes 1 to 2 arguments, not"), "{error}");
        }
    }

    #[test]
    fn names_are_told_of_up_to_a_number() {
        let names: Vec<String> = (0..20).map(|number| format!("a:b/c{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = said(&names, "products", &[]).unwrap_err();
        assert!(error.ends_with("`a:b/c15` and 4 more"), "{error}");
    }
}
