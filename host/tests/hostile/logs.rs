//! Guests that write to the log without end, or what a log must not show.

use crate::fixture::{Host, Reply};
use crate::member::{hostile, hostile_p3};

members! {
    log_lines_without_end: hostile("/log-lines").computes_too_long().and(is_bounded);
    log_lines_without_end_p3: hostile_p3("/log-lines").computes_too_long().and(is_bounded);
    log_of_empty_lines: hostile("/log-empty-lines").computes_too_long().and(is_bounded);
    log_of_one_endless_line: hostile("/log-endless-line").computes_too_long().and(is_bounded);
    log_of_control_characters: hostile("/log-controls").answers("written").and(is_escaped);
    log_of_zeroes: hostile("/log-zeroes/18446744073709551615").traps("");
    log_beyond_the_permit: hostile("/log-over-permit").traps("");
}

/// The log's default rate is 256 KiB in a second, of which a burst may come at once; a test takes
/// some seconds. Without the limit it would be gigabytes.
const LOG_MOST: usize = 8 << 20;

pub(crate) fn is_bounded(host: &Host, _: &[Reply]) {
    let of_guest =
        |line: &&serde_json::Value| line["kind"] == "guest" && line["service"] == "hostile";
    let log = host.log();
    let lines: Vec<_> = log
        .iter()
        .filter(of_guest)
        .map(ToString::to_string)
        .collect();
    let bytes: usize = lines.iter().map(String::len).sum();
    assert!((1..LOG_MOST).contains(&bytes), "{bytes} bytes of log");
}

fn is_escaped(host: &Host, _: &[Reply]) {
    let log = host.log_text();
    assert!(!log.contains(['\u{1b}', '\u{7}', '\0']), "{log}");
    let written = |line: &&serde_json::Value| line["kind"] == "guest";
    let log = host.log();
    let lines: Vec<_> = log.iter().filter(written).collect();
    assert!(!lines.is_empty());
    for line in lines {
        assert_eq!(line["service"], "hostile", "{line}");
        assert_eq!(line["level"], "info", "{line}");
    }
}
