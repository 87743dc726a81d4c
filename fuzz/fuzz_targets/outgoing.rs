//! Whatever request a guest makes, it goes where its URI says, with nothing in it that frames.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| skep::outgoing::fuzzing::check(input));
