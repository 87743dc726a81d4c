//! Takes secrets out of what guests write: a value that a service prints by mistake, in a trace of an
//! error say, must not get from the log to whoever may read logs.

use std::borrow::Cow;

use memchr::memmem::Finder;

/// Bytes of the shortest value that is looked for: a shorter one is no secret, and stands in many
/// a line by chance.
const SHORTEST: usize = 4;

/// What stands in its place.
const MASK: &[u8] = b"[secret]";

/// What one service must not show. It is a net and no wall: a guest that wants to show a secret
/// needs only to write it backwards, and one that is cut by the limit of a line shows its beginning.
#[derive(Default)]
pub struct Secrets(Vec<Finder<'static>>);

impl Secrets {
    /// Of a value with several lines each is looked for, since that is how a log shows it.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Secrets {
        let mut lines: Vec<&str> = values
            .into_iter()
            .flat_map(str::lines)
            .map(str::trim)
            .filter(|line| line.len() >= SHORTEST)
            .collect();
        // A secret may be part of another: the longer one goes first.
        lines.sort_by_key(|line| (std::cmp::Reverse(line.len()), *line));
        lines.dedup();
        let finder = |line: &str| Finder::new(line.as_bytes()).into_owned();
        Secrets(lines.into_iter().map(finder).collect())
    }

    /// The line without them; as it is, and not copied, if there are none in it.
    pub(super) fn masked<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let mut masked = Cow::Borrowed(line);
        for secret in &self.0 {
            if let Some(without) = without(secret, &masked) {
                masked = Cow::Owned(without);
            }
        }
        masked
    }
}

fn without(secret: &Finder<'_>, line: &[u8]) -> Option<Vec<u8>> {
    let mut rest = 0;
    let mut masked = Vec::new();
    for at in secret.find_iter(line) {
        masked.extend_from_slice(&line[rest..at]);
        masked.extend_from_slice(MASK);
        rest = at + secret.needle().len();
    }
    (rest > 0).then(|| {
        masked.extend_from_slice(&line[rest..]);
        masked
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(values: &[&str], line: &str) -> String {
        let secrets = Secrets::new(values.iter().copied());
        String::from_utf8(secrets.masked(line.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        assert_eq!(masked(&["hunter2"], "hunter2"), "[secret]");
        assert_eq!(
            masked(&["hunter2"], "a hunter2hunter2 b hunter"),
            "a [secret][secret] b hunter"
        );
        assert_eq!(
            masked(&["hunter2", "hunter22"], "hunter22 hunter2"),
            "[secret] [secret]"
        );
        assert_eq!(
            masked(&["-----BEGIN\nabcdef\r\n--"], "key abcdef of -----BEGIN"),
            "key [secret] of [secret]"
        );
    }

    #[test]
    fn a_line_without_secrets_is_not_copied() {
        for secrets in [Secrets::default(), Secrets::new(["abc", "", "hunter2"])] {
            assert!(matches!(secrets.masked(b"abc hunter"), Cow::Borrowed(_)));
        }
    }
}
