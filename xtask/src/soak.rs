//! Good and hostile traffic together, with restarts, for as long as wanted; afterwards the host must
//! hold no more than before. The test itself is `host/tests/soak`.
use crate::Result;
use crate::guests;
use crate::run::{cargo, run};

/// At night there is time.
const SECONDS: u64 = 600;

/// Within `cargo xtask test`: long enough for tens of thousands of requests.
pub(crate) const SECONDS_IN_TEST: u64 = 60;

pub(crate) fn soak(args: &[String]) -> Result {
    let seconds = seconds(args)?;
    guests::build()?;
    run_for(seconds)
}

fn seconds(args: &[String]) -> Result<u64> {
    match args {
        [] => Ok(SECONDS),
        [flag, seconds] if flag == "--seconds" => seconds
            .parse()
            .ok()
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| format!("{seconds:?} is not a number of seconds")),
        _ => Err("usage: cargo xtask soak [--seconds N]".to_string()),
    }
}

/// The same with guests that are built.
pub(crate) fn run_for(seconds: u64) -> Result {
    let mut command = cargo();
    // Of the whole workspace, so that features are those of the other tests.
    command.args(["test", "--release", "--workspace", "--test", "soak", "--"]);
    command.args(["--ignored", "--nocapture"]);
    command.env("SKEP_SOAK_SECONDS", seconds.to_string());
    run(
        &format!("hostile traffic for {seconds} seconds"),
        &mut command,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_what_was_asked_for() {
        let parsed = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            seconds(&args).ok()
        };
        assert_eq!(parsed(&[]), Some(SECONDS));
        assert_eq!(parsed(&["--seconds", "60"]), Some(60));
        for wrong in [&["--seconds", "0"][..], &["--seconds", "1m"], &["60"]] {
            assert_eq!(parsed(wrong), None, "{wrong:?}");
        }
    }
}
