//! What holds of names in a component, which its author chose: for the fuzz target `symbols`.

use super::{NAME_SHOWN, demangled, shortened, without_hash};

/// Any text as a function's, a module's or a file's name.
pub fn check(name: &str) {
    for readable in [demangled(name), shortened(name)] {
        assert!(readable.len() <= NAME_SHOWN, "{readable:?}");
        assert!(
            !readable.is_empty() || without_hash(name).is_empty(),
            "{name:?}"
        );
    }
    assert!(name.starts_with(without_hash(name)));
}
