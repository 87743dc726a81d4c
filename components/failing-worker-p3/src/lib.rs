//! Fails as `FAIL` in the environment tells it, after a line that says that it runs: a program of
//! WASI 0.3.
use failure::Failure;
use wasip3::clocks::monotonic_clock;

const FOR_EVER_NS: u64 = 3_600_000_000_000;

struct Worker;
wasip3::cli::command::export!(Worker);

impl wasip3::exports::cli::run::Guest for Worker {
    async fn run() -> Result<(), ()> {
        println!("failing-worker: running");
        match Failure::due_at("worker") {
            Some(Failure::Deadline) => monotonic_clock::wait_for(FOR_EVER_NS).await,
            Some(other) => other.happen(),
            None => {}
        }
        Ok(())
    }
}
