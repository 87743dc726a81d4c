//! From a value to WAVE.

use std::fmt::{self, Display, Formatter, Write};

use wasm_wave::lex::Keyword;
use wasmtime::component::Val;

/// A value that displays itself as WAVE, which reads as the same value again. What is no data has
/// no such text and is shown as `<handle>`.
pub(crate) struct Wave<'a>(pub(crate) &'a Val);

impl Display for Wave<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Val::Bool(value) => write!(f, "{value}"),
            Val::S8(value) => write!(f, "{value}"),
            Val::U8(value) => write!(f, "{value}"),
            Val::S16(value) => write!(f, "{value}"),
            Val::U16(value) => write!(f, "{value}"),
            Val::S32(value) => write!(f, "{value}"),
            Val::U32(value) => write!(f, "{value}"),
            Val::S64(value) => write!(f, "{value}"),
            Val::U64(value) => write!(f, "{value}"),
            Val::Float32(value) if value.is_nan() => f.write_str("nan"),
            Val::Float32(value) => write!(f, "{value}"),
            Val::Float64(value) if value.is_nan() => f.write_str("nan"),
            Val::Float64(value) => write!(f, "{value}"),
            Val::Char(value) => {
                f.write_char('\'')?;
                character(f, *value)?;
                f.write_char('\'')
            }
            Val::String(value) => {
                f.write_char('"')?;
                value.chars().try_for_each(|c| character(f, c))?;
                f.write_char('"')
            }
            Val::List(values) | Val::FixedLengthList(values) => {
                f.write_char('[')?;
                separated(f, values, |f, value| Wave(value).fmt(f))?;
                f.write_char(']')
            }
            Val::Map(entries) => {
                f.write_char('[')?;
                separated(f, entries, |f, (key, value)| {
                    write!(f, "({}, {})", Wave(key), Wave(value))
                })?;
                f.write_char(']')
            }
            Val::Record(fields) if fields.is_empty() => f.write_str("{:}"),
            Val::Record(fields) => {
                f.write_char('{')?;
                separated(f, fields, |f, (name, value)| {
                    write!(f, "{name}: {}", Wave(value))
                })?;
                f.write_char('}')
            }
            Val::Tuple(values) => {
                f.write_char('(')?;
                separated(f, values, |f, value| Wave(value).fmt(f))?;
                f.write_char(')')
            }
            Val::Variant(name, payload) => {
                label(f, name)?;
                in_parentheses(f, payload.as_deref())
            }
            Val::Enum(name) => label(f, name),
            Val::Option(None) => f.write_str("none"),
            Val::Option(some) => {
                f.write_str("some")?;
                in_parentheses(f, some.as_deref())
            }
            Val::Result(Ok(payload)) => {
                f.write_str("ok")?;
                in_parentheses(f, payload.as_deref())
            }
            Val::Result(Err(payload)) => {
                f.write_str("err")?;
                in_parentheses(f, payload.as_deref())
            }
            Val::Flags(names) => {
                f.write_char('{')?;
                separated(f, names, |f, name| f.write_str(name))?;
                f.write_char('}')
            }
            Val::Resource(_) | Val::Stream(_) | Val::Future(_) | Val::ErrorContext(_) => {
                f.write_str("<handle>")
            }
        }
    }
}

fn separated<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    mut write: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            f.write_str(", ")?;
        }
        write(f, item)?;
    }
    Ok(())
}

fn in_parentheses(f: &mut Formatter<'_>, value: Option<&Val>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "({})", Wave(value)),
        None => Ok(()),
    }
}

/// A case's name, told apart from the words that WAVE has for itself.
fn label(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    if Keyword::decode(name).is_some() {
        f.write_char('%')?;
    }
    f.write_str(name)
}

/// One character of a text. What steers terminals is written as its number.
fn character(f: &mut Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\\' | '"' | '\'' | '\t' | '\r' | '\n' => write!(f, "{}", c.escape_default()),
        c if c.is_control() => write!(f, "{}", c.escape_unicode()),
        c => write!(f, "{}", c.escape_debug()),
    }
}
