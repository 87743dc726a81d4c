//! Types as people read them: in WIT's words, and never longer than a line.
use std::fmt::{self, Display, Write};

use super::{Case, Function, Named, Type};

/// Characters of a type that are shown. The largest types have a million parts.
const TYPE_SHOWN: usize = 100;

/// Characters of a signature that are shown: a call can be written by it.
const SIGNATURE_SHOWN: usize = 2000;

/// A text that ends when it is long enough.
struct Line {
    text: String,
    room: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars() {
            if self.room == 0 {
                self.text.push('…');
                return Err(fmt::Error);
            }
            self.room -= 1;
            // A component's names are a stranger's.
            self.text.push(if c.is_control() { '\u{fffd}' } else { c });
        }
        Ok(())
    }
}

/// In one line, cut where it is longer than so many characters.
fn line(room: usize, write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> String {
    let mut line = Line {
        text: String::new(),
        room,
    };
    // An error says that the line is full, which shows.
    let _ = write(&mut line);
    line.text
}

/// The whole of it, however long.
pub(super) fn whole(ty: &Type) -> String {
    line(usize::MAX, |out| write(out, ty))
}

impl Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(TYPE_SHOWN, |out| write(out, self)))
    }
}

impl Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&line(TYPE_SHOWN, |out| function(out, self)))
    }
}

impl Function {
    /// Its type for those who want to call it: `func(id: u32) -> option<string>`, cut only where it
    /// is too long to be read anyway.
    pub fn signature(&self) -> String {
        line(SIGNATURE_SHOWN, |out| function(out, self))
    }
}

fn function(out: &mut dyn Write, function: &Function) -> fmt::Result {
    out.write_str(if function.asynchronous {
        "async func("
    } else {
        "func("
    })?;
    list(out, &function.params, named)?;
    out.write_str(")")?;
    match &function.result {
        Some(result) => {
            out.write_str(" -> ")?;
            write(out, result)
        }
        None => Ok(()),
    }
}

fn write(out: &mut dyn Write, ty: &Type) -> fmt::Result {
    let word = match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::F32 => "f32",
        Type::F64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::ErrorContext => "error-context",
        Type::Stream(None) => "stream",
        Type::Future(None) => "future",
        Type::List(element) => return wrapped(out, "list", element),
        Type::Option(some) => return wrapped(out, "option", some),
        Type::Stream(Some(element)) => return wrapped(out, "stream", element),
        Type::Future(Some(value)) => return wrapped(out, "future", value),
        Type::FixedList(element, length) => {
            out.write_str("list<")?;
            write(out, element)?;
            return write!(out, ", {length}>");
        }
        Type::Map(entry) => {
            out.write_str("map<")?;
            write(out, &entry.0)?;
            out.write_str(", ")?;
            write(out, &entry.1)?;
            return out.write_str(">");
        }
        Type::Record(fields) => return braces(out, "record", fields, named),
        Type::Variant(cases) => return braces(out, "variant", cases, case),
        Type::Enum(names) => return braces(out, "enum", names, |out, name| out.write_str(name)),
        Type::Flags(names) => return braces(out, "flags", names, |out, name| out.write_str(name)),
        Type::Tuple(items) => {
            out.write_str("tuple<")?;
            list(out, items, write)?;
            return out.write_str(">");
        }
        Type::Result(both) => return result(out, both.0.as_ref(), both.1.as_ref()),
        Type::Own(resource) => &resource.name,
        Type::Borrow(resource) => return write!(out, "borrow<{}>", resource.name),
    };
    out.write_str(word)
}

fn wrapped(out: &mut dyn Write, word: &str, inner: &Type) -> fmt::Result {
    write!(out, "{word}<")?;
    write(out, inner)?;
    out.write_str(">")
}

fn result(out: &mut dyn Write, ok: Option<&Type>, err: Option<&Type>) -> fmt::Result {
    out.write_str("result")?;
    if ok.is_none() && err.is_none() {
        return Ok(());
    }
    out.write_str("<")?;
    match ok {
        Some(ok) => write(out, ok)?,
        None => out.write_str("_")?,
    }
    if let Some(err) = err {
        out.write_str(", ")?;
        write(out, err)?;
    }
    out.write_str(">")
}

fn braces<T>(
    out: &mut dyn Write,
    word: &str,
    items: &[T],
    one: impl Fn(&mut dyn Write, &T) -> fmt::Result,
) -> fmt::Result {
    write!(out, "{word} {{ ")?;
    list(out, items, one)?;
    out.write_str(" }")
}

fn list<T>(
    out: &mut dyn Write,
    items: &[T],
    one: impl Fn(&mut dyn Write, &T) -> fmt::Result,
) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            out.write_str(", ")?;
        }
        one(out, item)?;
    }
    Ok(())
}

fn named(out: &mut dyn Write, named: &Named) -> fmt::Result {
    write!(out, "{}: ", named.name)?;
    write(out, &named.ty)
}

fn case(out: &mut dyn Write, case: &Case) -> fmt::Result {
    out.write_str(&case.name)?;
    let Some(ty) = &case.ty else { return Ok(()) };
    out.write_str("(")?;
    write(out, ty)?;
    out.write_str(")")
}
