//! Whatever a component's author calls a function, a trap's report shows it, bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|name: &str| skep::log::backtrace::fuzzing::check(name));
