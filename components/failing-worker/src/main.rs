//! Fails as `FAIL` in the environment tells it, after a line that says that it runs.
use failure::Failure;

fn main() {
    println!("failing-worker: running");
    if let Some(failure) = Failure::due_at("worker") {
        failure.happen()
    }
}
