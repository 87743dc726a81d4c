//! Text, money and dates as they stand in a page.
use std::fmt::{Display, Formatter, Result};

/// Text that came from anywhere, made harmless for HTML content and for quoted attributes.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

pub(crate) struct Euro(pub(crate) u32);

impl Display for Euro {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "€{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// A day in UTC, from seconds since 1970.
pub(crate) struct Day(pub(crate) u64);

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Display for Day {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (mut year, mut day) = (1970, self.0 / 86_400);
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        while day >= 365 + u64::from(is_leap(year)) {
            day -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        let february = 28 + u64::from(is_leap(year));
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in MONTHS.iter().zip(lengths) {
            if day < length {
                return write!(f, "{} {month} {year}", day + 1);
            }
            day -= length;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        let nasty = r#"<script>alert("x")</script> & 'y'"#;
        assert_eq!(
            Text(nasty).to_string(),
            "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;y&#39;"
        );
    }

    #[test]
    fn days_and_money() {
        let rows = [
            (0, "1 January 1970"),
            (951_782_400, "29 February 2000"),
            (1_709_164_800, "29 February 2024"),
            (1_735_689_599, "31 December 2024"),
            (4_107_542_400, "1 March 2100"),
        ];
        for (seconds, expected) in rows {
            assert_eq!(Day(seconds).to_string(), expected);
        }
        assert_eq!(Euro(1205).to_string(), "€12.05");
        assert_eq!(Euro(5).to_string(), "€0.05");
    }
}
