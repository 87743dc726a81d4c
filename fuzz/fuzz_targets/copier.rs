//! Whatever a guest passes, returns, or allots memory by, the copier makes the same of it as `Val`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| skep::copier::fuzzing::check(input));
