//! Sets up, builds, tests and shows Skep.
fn main() {}
