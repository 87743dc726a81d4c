//! Whatever head a client sends, guest and log get one reading of it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| skep::gateway::fuzzing::check(input));
