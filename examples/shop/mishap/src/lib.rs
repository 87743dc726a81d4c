//! What goes wrong on purpose, so that one can watch what the shop makes of it. A file with the name
//! of a service, in a directory that the manifest grants, says what: it may be written and removed
//! while the shop runs. A real shop leaves all this out.
use std::cell::Cell;
use std::time::Duration;

const MISHAPS: &str = "/mishaps";

/// Longer than anybody waits.
const LONG: Duration = Duration::from_secs(3600);

#[derive(Debug, PartialEq)]
enum Mishap {
    Crash,
    /// Of every so many calls of an instance the last one crashes.
    CrashEvery(u32),
    Hang,
}

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Lets happen what is to happen. Called at the beginning of each of the service's functions.
///
/// # Panics
/// If that is what the file says.
pub fn perhaps(service: &str) {
    let calls = CALLS.get() + 1;
    CALLS.set(calls);
    let Ok(text) = std::fs::read_to_string(format!("{MISHAPS}/{service}")) else {
        return;
    };
    match Mishap::from_text(&text) {
        Some(Mishap::Hang) => std::thread::sleep(LONG),
        Some(mishap) if mishap.crashes_at(calls) => panic!("a mishap, as {MISHAPS}/{service} says"),
        Some(_) => {}
        None => eprintln!("{MISHAPS}/{service} says neither crash, crash every N nor hang"),
    }
}

impl Mishap {
    fn from_text(text: &str) -> Option<Mishap> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["crash"] => Some(Mishap::Crash),
            ["crash", "every", number] => match number.parse() {
                Ok(number) if number > 0 => Some(Mishap::CrashEvery(number)),
                _ => None,
            },
            ["hang"] => Some(Mishap::Hang),
            _ => None,
        }
    }

    fn crashes_at(&self, call: u32) -> bool {
        match self {
            Mishap::Crash => true,
            Mishap::CrashEvery(number) => call.is_multiple_of(*number),
            Mishap::Hang => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_mishaps_have_words() {
        let rows = [
            ("crash\n", Some(Mishap::Crash)),
            ("crash every 3", Some(Mishap::CrashEvery(3))),
            (" hang ", Some(Mishap::Hang)),
            ("crash every 0", None),
            ("crash every day", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Mishap::from_text(text), expected, "{text}");
        }
        let crashes = |call| Mishap::CrashEvery(3).crashes_at(call);
        assert_eq!(
            [1, 2, 3, 4, 5, 6].map(crashes),
            [false, false, true, false, false, true]
        );
    }
}
