//! `skep call`: calls a function of a service of the running host, as other services do.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use skep_core::contract::InterfaceName;
use skep_core::duration;
use skep_core::name::ServiceName;

use super::host_options::HostOptions;
use super::{Exit, report};
use crate::control::client::{self, Refusal};
use crate::control::{Outcome, Returned};
use crate::operator::{Call as Asked, Listed};

/// Call a function of a service of the running host
///
/// The call goes the way of other services' calls: it is admitted, held to the service's deadline and
/// limits, and a crash is the service's. Without a function, the service's interfaces and functions
/// are listed.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Call {
    /// The service
    #[arg(value_parser = |text: &str| ServiceName::parse(text).map_err(|e| e.to_string()))]
    service: ServiceName,
    /// The interface, or as much of its name as is unambiguous: `products` for
    /// shop:catalog/products@0.2.0
    interface: Option<String>,
    /// The function; of a static one of a resource RESOURCE.FUNCTION
    function: Option<String>,
    /// One value for each parameter, in WAVE; options at the end may be left out
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// The manifest that the host was started with
    #[arg(long, default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// Wait no longer than this: `500ms`, `10s`. The service's own deadline holds as well
    #[arg(long, value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Print the result, or the listing, as JSON
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "Values are written in WAVE, quoted for the shell:
  1  -2.5  true  'x'  '\"text\"'  '[1, 2]'  '(1, \"a\")'  '{name: \"Ada\", age: 36}'
  some-case  'some-case(1)'  'some(1)'  none  'ok(1)'  'err(\"no\")'  '{flag-a, flag-b}'

Exit codes:
  0  the function was called; its result is on standard output
  1  it could not be called, or failed; the message says why
  2  there is no such function, or it takes other arguments
  4  the function answered err(…), which is on standard output";

/// Runs the command.
pub fn run(arguments: &Call) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    let Some((interface, function)) = arguments
        .interface
        .as_ref()
        .zip(arguments.function.as_ref())
    else {
        return match client::interfaces(&host, &arguments.service) {
            Ok(Some(listed)) => list(arguments, listed),
            Ok(None) => report::no_service(&arguments.service),
            Err(error) => {
                report::failure(&error);
                Exit::Failed
            }
        };
    };
    let asked = Asked {
        interface: interface.clone(),
        function: function.clone(),
        arguments: arguments.arguments.clone(),
        timeout_ms: arguments
            .timeout
            .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        json: arguments.json,
    };
    match client::call(&host, &arguments.service, &asked) {
        Ok(Ok(returned)) => show(arguments, &returned),
        Ok(Err(Refusal::NoService)) => report::no_service(&arguments.service),
        Ok(Err(Refusal::NotUnderstood(why))) => fail(&why, Exit::Usage),
        Ok(Err(Refusal::Failed(why))) => fail(&why, Exit::Failed),
        Err(error) => {
            report::failure(&error);
            Exit::Failed
        }
    }
}

fn show(arguments: &Call, returned: &Returned) -> Exit {
    let mut out = std::io::stdout().lock();
    let written = match &returned.result {
        result if arguments.json => match serde_json::to_string_pretty(result) {
            Ok(text) => writeln!(out, "{}", harmless(&text)),
            Err(error) => Err(error.into()),
        },
        // The function returns nothing.
        serde_json::Value::Null => Ok(()),
        serde_json::Value::String(text) => writeln!(out, "{text}"),
        other => writeln!(out, "{other}"),
    };
    match (written, returned.outcome) {
        (Err(_), _) => Exit::Failed,
        (Ok(()), Outcome::Err) => Exit::Err,
        (Ok(()), Outcome::Ok | Outcome::Value) => Exit::Ok,
    }
}

/// JSON without what would steer the terminal of who reads it. Such characters are in strings alone,
/// where their numbers say the same.
fn harmless(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        let shown = c == '\n' || c.is_ascii_graphic() || c.escape_debug().len() == 1;
        if shown {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text
}

fn list(arguments: &Call, mut listed: Vec<Listed>) -> Exit {
    if listed.is_empty() {
        let none = format!("`{}` exports no interface of its own", arguments.service);
        return fail(&none, Exit::Usage);
    }
    if let Some(wanted) = &arguments.interface {
        let names: Vec<String> = listed
            .iter()
            .map(|one| format!("`{}`", one.interface))
            .collect();
        listed.retain(|one| InterfaceName::new(&one.interface).is_meant_by(wanted));
        if listed.is_empty() {
            let none = format!(
                "`{}` exports no interface `{wanted}`; it exports {}",
                arguments.service,
                names.join(", ")
            );
            return fail(&none, Exit::Usage);
        }
    }
    let mut out = std::io::stdout().lock();
    let written = match arguments.json {
        true => serde_json::to_writer_pretty(&mut out, &listed)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out)),
        false => readable(&mut out, &listed),
    };
    match written {
        Ok(()) => Exit::Ok,
        Err(_) => Exit::Failed,
    }
}

fn readable(out: &mut impl Write, listed: &[Listed]) -> std::io::Result<()> {
    for (place, one) in listed.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}", one.interface)?;
        for function in &one.functions {
            let mark = match function.callable {
                true => "",
                false => "  (by services alone)",
            };
            writeln!(out, "  {}: {}{mark}", function.name, function.signature)?;
        }
    }
    Ok(())
}

fn fail(why: &str, exit: Exit) -> Exit {
    let _ = writeln!(
        std::io::stderr(),
        "error: {}",
        why.replace(char::is_control, " ")
    );
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_without_what_steers_a_terminal() {
        let value =
            serde_json::json!({ "a \"b\" \\ ü ☃ 😂": "\u{1b}[31m\u{7f}\u{9b}\u{202e}\u{e0001}\n" });
        let written = serde_json::to_string_pretty(&value).unwrap();
        let text = harmless(&written);
        assert!(text.contains("ü ☃ 😂"), "{text}");
        for c in ['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{e0001}'] {
            assert!(!text.contains(c), "{c:?} in {text}");
        }
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, value);
    }
}
