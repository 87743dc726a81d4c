//! Whatever is in a file of the cache, it passes only as the host has sealed it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| skep::artifact::fuzzing::check(input));
