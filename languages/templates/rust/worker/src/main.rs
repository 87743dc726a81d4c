//! Runs beside the services that answer, for as long as the application does.

use std::thread;
use std::time::Duration;

const PAUSE: Duration = Duration::from_secs(1);

fn main() {
    for beat in 1.. {
        println!("{}", line(beat)); // goes to Skep's log
        thread::sleep(PAUSE);
    }
}

fn line(beat: u64) -> String {
    format!("beat {beat}")
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_line_says_which_beat_it_is() {
        assert_eq!(line(7), "beat 7");
    }
}
