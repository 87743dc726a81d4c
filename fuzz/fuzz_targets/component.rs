//! Whatever is in a component's file, it is described or refused, without a panic, in bounded text.
//!
//! An input that begins with `(` is WebAssembly text; one that begins with a digit picks one of the
//! components below and edits it: two bytes for the place, one to put there. All else is taken as
//! it is.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use skep::artifact::{Artifact, required_grants};

/// Longer text than this says too much.
const SAID: usize = 64 << 10;

fuzz_target!(|input: &[u8]| {
    let bytes = match input {
        [b'(', ..] => match std::str::from_utf8(input).ok().and_then(|text| wat::parse_str(text).ok()) {
            Some(bytes) => bytes,
            None => return,
        },
        [digit @ b'0'..=b'9', edits @ ..] => edited(usize::from(digit - b'0'), edits),
        _ => input.to_vec(),
    };
    match Artifact::from_bytes("fuzzed.wasm", bytes) {
        Ok(artifact) => {
            let description = artifact.description();
            for need in required_grants(description) {
                assert!(format!("{need:?}").len() < SAID);
            }
            let _ = description.languages().count();
            let _ = artifact.wit(true);
            let _ = artifact.wit(false);
            if let Err(error) = artifact.validate() {
                said(&error);
            }
        }
        Err(error) => said(&error),
    }
});

fn said(error: &skep::artifact::ArtifactError) {
    let text = format!("{error} {:?}", error.help());
    assert!(text.len() < SAID, "{} bytes", text.len());
}

fn edited(which: usize, edits: &[u8]) -> Vec<u8> {
    static MADE: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let parse = |text: &&str| wat::parse_str(text).expect("they are valid");
        TEXTS.iter().map(parse).collect()
    });
    let mut bytes = made[which % made.len()].clone();
    for edit in edits.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        bytes[place] = edit[2];
    }
    bytes
}

const TEXTS: [&str; 4] = [
    include_str!("../seeds/component/handler.wat"),
    include_str!("../seeds/component/types.wat"),
    include_str!("../seeds/component/module.wat"),
    include_str!("../seeds/component/nested.wat"),
];
