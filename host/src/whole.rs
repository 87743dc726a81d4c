//! Whole numbers of JSON, for which `2.0` is one as well as `2` (JSON Schema 2020-12, section 6.1.1).

use serde::de::{Deserialize, Deserializer, Error as _, Unexpected};
use serde_json::Number;

/// Reads one that is not negative; none if there is none.
///
/// # Errors
/// If it is something else, or too large for `T`.
pub(crate) fn optional<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<Number>::deserialize(from)? else {
        return Ok(None);
    };
    let whole = number.as_u64().or_else(|| number.as_f64().and_then(exact));
    let fits = whole.and_then(|whole| T::try_from(whole).ok());
    let wanted = "a whole number that is not too large";
    let number = number.to_string();
    fits.map(Some)
        .ok_or_else(|| D::Error::invalid_value(Unexpected::Other(&number), &wanted))
}

/// What a double says, where it can say it: beyond 2^53 several numbers are one.
fn exact(double: f64) -> Option<u64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let is_exact = (0.0..=LARGEST).contains(&double) && double.fract() == 0.0;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and within both"
    )]
    is_exact.then_some(double as u64)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Holder {
        #[serde(default, deserialize_with = "super::optional")]
        number: Option<u32>,
    }

    fn read(text: &str) -> Result<Option<u32>, serde_json::Error> {
        serde_json::from_str::<Holder>(text).map(|holder| holder.number)
    }

    #[test]
    fn what_is_whole_is_taken_however_it_is_written() {
        assert_eq!(read("{}").unwrap(), None);
        assert_eq!(read(r#"{"number":null}"#).unwrap(), None);
        for text in ["7", "7.0", "70e-1", "0.7e1"] {
            assert_eq!(read(&format!(r#"{{"number":{text}}}"#)).unwrap(), Some(7));
        }
        for text in ["-1", "-1.0", "7.5", "4294967296", "1e300", "\"7\"", "true"] {
            assert!(read(&format!(r#"{{"number":{text}}}"#)).is_err(), "{text}");
        }
    }
}
