//! Components whose bytes say which version they are, and how they behave: see `components/versioned`.

use super::fixture::guest;

/// The digits of the mark in a component's bytes.
const MARK: &[u8] = b"SKEP-MARK:v";

/// The built component `versioned-NAME` with a version and a mode.
pub(crate) fn versioned(name: &str, version: u32, mode: char) -> Vec<u8> {
    marked(&format!("versioned-{name}"), version, mode)
}

/// The built component with a version and a mode.
pub(crate) fn marked(component: &str, version: u32, mode: char) -> Vec<u8> {
    let mut bytes = std::fs::read(guest(component)).unwrap();
    let marked = |at: &usize| bytes[*at..].starts_with(MARK);
    let at: Vec<usize> = (0..bytes.len()).filter(marked).collect();
    let [at] = at[..] else {
        panic!("{} marks in {component}", at.len());
    };
    let digits = at + MARK.len();
    bytes[digits..digits + 8].copy_from_slice(format!("{version:08}").as_bytes());
    bytes[digits + 10] = mode as u8;
    bytes
}
