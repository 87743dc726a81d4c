//! Whatever a guest writes, it becomes lines of the log that can be read, bounded and counted.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| skep::log::guest::fuzzing::check(input));
