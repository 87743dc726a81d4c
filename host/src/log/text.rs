//! Escaping, cutting and number formatting for log lines, in one place because a log that lets
//! foreign text through is a way into the operator's terminal.
//!
//! Three ways to write foreign text: [`json`] (a JSON string), [`plain`] (one readable line) and
//! [`block`] (readable, may span lines, each later one indented so that it cannot pass for a line
//! of the log). All three escape C0, DEL and C1 controls and the characters that reorder or break
//! lines, so even raw JSON is safe to print.

use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// Put before each later line of a multi-line text in a readable line.
const CONTINUATION: &str = "\n    | ";

/// Bytes that stand for themselves everywhere: printable ASCII without quote and backslash.
const ORDINARY: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

/// Appends `text` as a JSON string with its quotes.
pub(super) fn json(out: &mut String, text: &str) {
    out.push('"');
    json_part(out, text);
    out.push('"');
}

/// As [`json`] without the quotes, for strings that are written in several parts.
pub(super) fn json_part(out: &mut String, text: &str) {
    escape(out, text, |out, c| match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_unsafe(c) => unicode_escape(out, c),
        c => out.push(c),
    });
}

/// Appends `text` for a readable line; what it must not contain is shown as `\x1b`, `\u{202e}`.
pub(super) fn plain(out: &mut String, text: &str) {
    escape(out, text, plain_char);
}

/// As [`plain`], but line breaks stay, and what follows them is indented.
pub(super) fn block(out: &mut String, text: &str) {
    escape(out, text, |out, c| match c {
        '\n' => out.push_str(CONTINUATION),
        c => plain_char(out, c),
    });
}

/// Appends bytes that should be UTF-8 but may not be, by way of `write` ([`json_part`] or
/// [`plain`]); each broken sequence becomes U+FFFD.
pub(super) fn lossy(out: &mut String, bytes: &[u8], write: fn(&mut String, &str)) {
    for chunk in bytes.utf8_chunks() {
        write(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Splits `text` after at most `limit` bytes, at a character: what to show, and how many bytes
/// are left out.
pub(super) fn cut(text: &str, limit: usize) -> (&str, usize) {
    let (kept, rest) = text.split_at(text.floor_char_boundary(limit));
    (kept, rest.len())
}

/// The mark that stands for `omitted` bytes.
pub(super) fn omitted(out: &mut String, bytes: u64) {
    if bytes > 0 {
        out.push_str("…+");
        number(out, bytes);
        out.push_str(" bytes");
    }
}

pub(super) fn number(out: &mut String, value: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Milliseconds with three decimals, as a plain number: `1.234`.
pub(super) fn millis(out: &mut String, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(out, micros / 1000);
    out.push('.');
    three_digits(out, (micros % 1000) as u32);
}

/// RFC 3339 in UTC with microseconds, for machines: `2026-11-22T23:17:25.123456Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let mut out = String::new();
    timestamp(&mut out, time);
    out
}

/// The same, appended.
pub(super) fn timestamp(out: &mut String, time: SystemTime) {
    let since_epoch = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (year, month, day) = civil_date(since_epoch.as_secs() / 86_400);
    number(out, year);
    out.push('-');
    two_digits(out, month);
    out.push('-');
    two_digits(out, day);
    out.push('T');
    time_of_day(out, since_epoch.as_secs());
    let micros = since_epoch.subsec_micros();
    three_digits(out, micros / 1000);
    three_digits(out, micros % 1000);
    out.push('Z');
}

/// The time of day in UTC with milliseconds, for people: `23:17:25.123Z`.
pub(super) fn clock(out: &mut String, time: SystemTime) {
    let since_epoch = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    time_of_day(out, since_epoch.as_secs());
    three_digits(out, since_epoch.subsec_millis());
    out.push('Z');
}

/// A writer that keeps at most `limit` bytes and then fails, so that rendering something huge or
/// hostile ends there. What was kept before the failure stays in `text`.
pub(super) struct Bounded {
    pub(super) text: String,
    limit: usize,
}

impl Bounded {
    pub(super) fn new(limit: usize) -> Bounded {
        Bounded {
            text: String::new(),
            limit,
        }
    }

    /// Renders `value`; true if all of it fitted.
    pub(super) fn render(&mut self, value: impl fmt::Display) -> bool {
        write!(self, "{value}").is_ok()
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (kept, omitted) = cut(text, self.limit - self.text.len());
        self.text.push_str(kept);
        if omitted > 0 { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Copies runs of ordinary bytes at once and hands every other character to `write`.
#[inline]
fn escape(out: &mut String, text: &str, write: impl Fn(&mut String, char)) {
    let mut rest = text;
    loop {
        let run = rest
            .bytes()
            .position(|byte| !ORDINARY[usize::from(byte)])
            .unwrap_or(rest.len());
        let (ordinary, special) = rest.split_at(run);
        out.push_str(ordinary);
        let mut chars = special.chars();
        let Some(c) = chars.next() else { return };
        write(out, c);
        rest = chars.as_str();
    }
}

fn plain_char(out: &mut String, c: char) {
    match c {
        '\t' => out.push('\t'),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if is_unsafe(c) => {
            // Writing to a String does not fail.
            let _ = match u32::from(c) {
                code @ 0..0x80 => write!(out, "\\x{code:02x}"),
                code => write!(out, "\\u{{{code:x}}}"),
            };
        }
        c => out.push(c),
    }
}

fn unicode_escape(out: &mut String, c: char) {
    let mut units = [0; 2];
    for unit in c.encode_utf16(&mut units) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// Controls (C1 has one-character escape sequences too), line and paragraph separators, and the
/// characters that reorder what is shown after them.
fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn time_of_day(out: &mut String, seconds: u64) {
    let second_of_day = (seconds % 86_400) as u32;
    two_digits(out, second_of_day / 3600);
    out.push(':');
    two_digits(out, second_of_day / 60 % 60);
    out.push(':');
    two_digits(out, second_of_day % 60);
    out.push('.');
}

fn two_digits(out: &mut String, value: u32) {
    out.push(digit(value / 10));
    out.push(digit(value));
}

fn three_digits(out: &mut String, value: u32) {
    out.push(digit(value / 100));
    two_digits(out, value);
}

fn digit(value: u32) -> char {
    char::from(b'0' + (value % 10) as u8)
}

/// Year, month and day of a day counted from 1970-01-01 (the `civil_from_days` algorithm of
/// Howard Hinnant, for days from the epoch on).
fn civil_date(days_since_epoch: u64) -> (u64, u32, u32) {
    let days = days_since_epoch + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    } as u32;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn render(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn foreign_text_is_defused() {
        let rows = [
            ("plain words", "plain words", r#""plain words""#),
            ("a\nb", r"a\nb", r#""a\nb""#),
            ("a\r\nb", r"a\r\nb", r#""a\r\nb""#),
            ("tab\there", "tab\there", r#""tab\there""#),
            ("\x1b[2J\x07", r"\x1b[2J\x07", r#""\u001b[2J\u0007""#),
            ("\u{9b}31m", r"\u{9b}31m", r#""\u009b31m""#),
            ("x\u{7f}\u{202e}y", r"x\x7f\u{202e}y", r#""x\u007f\u202ey""#),
            ("\u{e0041}", r"\u{e0041}", r#""\udb40\udc41""#),
            ("\"q\\", r#""q\"#, r#""\"q\\""#),
            ("grüße 蜂 🐝", "grüße 蜂 🐝", "\"grüße 蜂 🐝\""),
        ];
        for (text, want_plain, want_json) in rows {
            assert_eq!(render(|out| plain(out, text)), want_plain);
            assert_eq!(render(|out| json(out, text)), want_json);
            assert_eq!(serde_json::from_str::<String>(want_json).unwrap(), text);
        }
        assert_eq!(
            render(|out| block(out, "one\ntwo\x1b")),
            "one\n    | two\\x1b"
        );
    }

    #[test]
    fn times_are_rfc_3339() {
        let rows = [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, 1_000, "2000-02-29T00:00:00.000001Z"),
            (1_795_389_445, 123_456_789, "2026-11-22T23:17:25.123456Z"),
            (4_107_542_399, 999_999_999, "2100-02-28T23:59:59.999999Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000Z"),
        ];
        for (seconds, nanos, want) in rows {
            let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(render(|out| timestamp(out, time)), want);
            assert_eq!(
                render(|out| clock(out, time)),
                format!("{}Z", &want[11..23])
            );
        }
    }

    #[test]
    fn dates_agree_with_httpdate_for_two_centuries() {
        for day in 0..73_000 {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400);
            let theirs = httpdate::fmt_http_date(time);
            let (year, _, day_of_month) = civil_date(day);
            assert_eq!(theirs[5..7].parse::<u32>().unwrap(), day_of_month);
            assert_eq!(theirs[12..16].parse::<u64>().unwrap(), year);
        }
    }

    #[test]
    fn numbers_and_cuts() {
        assert_eq!(
            render(|out| millis(out, Duration::from_micros(1_234))),
            "1.234"
        );
        assert_eq!(
            render(|out| millis(out, Duration::from_nanos(999))),
            "0.000"
        );
        assert_eq!(
            render(|out| millis(out, Duration::MAX)),
            "18446744073709551.615"
        );
        assert_eq!(cut("grüße", 3), ("gr", 5));
        assert_eq!(cut("grüße", 4), ("grü", 3));
        assert_eq!(cut("abc", 9), ("abc", 0));
        let mut bounded = Bounded::new(4);
        assert!(!bounded.render("grüße"));
        assert_eq!(bounded.text, "grü");
    }

    proptest! {
        #[test]
        fn json_parses_back(text in any::<String>()) {
            let written = render(|out| json(out, &text));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }

        #[test]
        fn nothing_unsafe_comes_out(text in any::<String>()) {
            for written in [render(|out| plain(out, &text)), render(|out| json(out, &text))] {
                prop_assert!(!written.chars().any(|c| c != '\t' && is_unsafe(c)));
            }
        }

        #[test]
        fn bytes_become_what_the_standard_library_makes_of_them(bytes in any::<Vec<u8>>()) {
            let written = render(|out| { out.push('"'); lossy(out, &bytes, json_part); out.push('"'); });
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), String::from_utf8_lossy(&bytes));
        }
    }
}
