//! From a text to a value of a type.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use skep_core::contract::{Case, Named, Type};
use wasm_wave::ast::{Node, NodeType};
use wasm_wave::untyped::UntypedValue;
use wasmtime::component::Val;

/// Values that are read for one call. The fields of a record that may be left out are values
/// too: a short text can stand for many.
const VALUES_MAX: usize = 1 << 20;

/// Bytes shown of a text that was not expected.
const FOUND_SHOWN: usize = 60;

/// Why a text is no value of a type: `in .home.x: expected s32, found "far"`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Where in the value, from the inside out.
    steps: Vec<String>,
    what: String,
}

/// Reads the values of one call.
#[derive(Debug, Default)]
pub(crate) struct Values {
    made: usize,
}

impl Values {
    /// The value that the text stands for, which has to be of this type.
    ///
    /// # Errors
    /// If it is not, or is no WAVE.
    pub(crate) fn read(&mut self, text: &str, ty: &Type) -> Result<Val, Unreadable> {
        let value = UntypedValue::parse(text).map_err(|error| {
            let found = beginning(text.get(error.span()).unwrap_or_default());
            let place = error.span().start;
            let kind = error.kind();
            Unreadable::new(match found.is_empty() {
                true => format!("{kind} at byte {place}; expected {ty}"),
                false => format!("{kind} at byte {place}, `{found}`; expected {ty}"),
            })
        })?;
        Reader { text, values: self }.value(value.node(), ty)
    }
}

struct Reader<'a> {
    text: &'a str,
    values: &'a mut Values,
}

type Read<T> = Result<T, Unreadable>;

impl Reader<'_> {
    fn value(&mut self, node: &Node, ty: &Type) -> Read<Val> {
        self.count()?;
        let text = self.text;
        Ok(match ty {
            Type::Bool => Val::Bool(node.as_bool().map_err(|_| self.unfit(node, ty))?),
            Type::S8 => Val::S8(self.number(node, ty)?),
            Type::U8 => Val::U8(self.number(node, ty)?),
            Type::S16 => Val::S16(self.number(node, ty)?),
            Type::U16 => Val::U16(self.number(node, ty)?),
            Type::S32 => Val::S32(self.number(node, ty)?),
            Type::U32 => Val::U32(self.number(node, ty)?),
            Type::S64 => Val::S64(self.number(node, ty)?),
            Type::U64 => Val::U64(self.number(node, ty)?),
            Type::F32 => Val::Float32(self.number(node, ty)?),
            Type::F64 => Val::Float64(self.number(node, ty)?),
            Type::Char => Val::Char(node.as_char(text).map_err(|_| self.unfit(node, ty))?),
            Type::String => {
                let read = node.as_str(text).map_err(|_| self.unfit(node, ty))?;
                Val::String(read.into_owned())
            }
            Type::List(element) => Val::List(self.list(node, element, ty)?),
            Type::FixedList(element, length) => {
                let values = self.list(node, element, ty)?;
                if values.len() != *length as usize {
                    return Err(self.unfit(node, ty));
                }
                Val::FixedLengthList(values)
            }
            // As a list of pairs, which is what a map is to the component model.
            Type::Map(entry) => {
                let pair = Type::Tuple([entry.0.clone(), entry.1.clone()].into());
                let pairs = self.list(node, &pair, ty)?.into_iter();
                let entry = |pair: Val| match pair {
                    Val::Tuple(pair) => <[Val; 2]>::try_from(pair).ok().map(|[k, v]| (k, v)),
                    _ => None,
                };
                Val::Map(pairs.filter_map(entry).collect())
            }
            Type::Record(fields) => self.record(node, fields, ty)?,
            Type::Tuple(types) => {
                let nodes = node.as_tuple().map_err(|_| self.unfit(node, ty))?;
                if nodes.len() != types.len() {
                    return Err(self.unfit(node, ty));
                }
                let values = nodes.zip(&**types).enumerate();
                let value = |(place, (node, ty)): (usize, (&Node, &Type))| {
                    self.value(node, ty)
                        .map_err(|error| error.within(format!(".{place}")))
                };
                Val::Tuple(values.map(value).collect::<Read<_>>()?)
            }
            Type::Variant(cases) => self.variant(node, cases, ty)?,
            Type::Enum(names) => {
                let name = node.as_enum(text).map_err(|_| self.unfit(node, ty))?;
                if !names.iter().any(|other| &**other == name) {
                    return Err(self.unfit(node, ty));
                }
                Val::Enum(name.to_owned())
            }
            Type::Flags(names) => {
                let set = node.as_flags(text).map_err(|_| self.unfit(node, ty))?;
                let known = |flag: &str| {
                    let flag = flag.strip_prefix('%').unwrap_or(flag);
                    let known = names.iter().any(|name| &**name == flag);
                    known.then(|| flag.to_owned())
                };
                let set: Option<Vec<String>> = set.map(known).collect();
                Val::Flags(set.ok_or_else(|| self.unfit(node, ty))?)
            }
            Type::Option(some) => self.option(node, some, ty)?,
            Type::Result(both) => self.result(node, &both.0, &both.1, ty)?,
            Type::Own(_)
            | Type::Borrow(_)
            | Type::Stream(_)
            | Type::Future(_)
            | Type::ErrorContext => return Err(self.unfit(node, ty)),
        })
    }

    fn number<T: FromStr>(&self, node: &Node, ty: &Type) -> Read<T> {
        node.as_number(self.text).map_err(|_| self.unfit(node, ty))
    }

    fn list(&mut self, node: &Node, element: &Type, ty: &Type) -> Read<Vec<Val>> {
        let nodes = node.as_list().map_err(|_| self.unfit(node, ty))?;
        let value = |(place, node)| {
            self.value(node, element)
                .map_err(|error| error.within(format!("[{place}]")))
        };
        nodes.enumerate().map(value).collect()
    }

    /// Fields that are options may be left out.
    fn record(&mut self, node: &Node, fields: &[Named], ty: &Type) -> Read<Val> {
        let written = node
            .as_record(self.text)
            .map_err(|_| self.unfit(node, ty))?;
        let mut written: HashMap<&str, &Node> = written.collect();
        let mut values = Vec::with_capacity(fields.len());
        for field in fields {
            let value = match (written.remove(&*field.name), &field.ty) {
                (Some(node), ty) => self
                    .value(node, ty)
                    .map_err(|error| error.within(format!(".{}", field.name)))?,
                (None, Type::Option(_)) => {
                    self.count()?;
                    Val::Option(None)
                }
                (None, _) => {
                    let missing = format!("the field `{}` is missing", field.name);
                    return Err(Unreadable::new(format!("{missing}; expected {ty}")));
                }
            };
            values.push((field.name.to_string(), value));
        }
        match written.keys().min() {
            Some(name) => {
                let none = format!("there is no field `{}`", beginning(name));
                Err(Unreadable::new(format!("{none}; expected {ty}")))
            }
            None => Ok(Val::Record(values)),
        }
    }

    fn variant(&mut self, node: &Node, cases: &[Case], ty: &Type) -> Read<Val> {
        let written = node.as_variant(self.text);
        let (name, payload) = written.map_err(|_| self.unfit(node, ty))?;
        let case = cases.iter().find(|case| &*case.name == name);
        let case = case.ok_or_else(|| self.unfit(node, ty))?;
        let payload = self.payload(name, payload, case.ty.as_ref(), node, ty)?;
        Ok(Val::Variant(name.to_owned(), payload))
    }

    /// `some` may be left out where it is clear without.
    fn option(&mut self, node: &Node, some: &Type, ty: &Type) -> Read<Val> {
        let value = match node.ty() {
            NodeType::OptionNone => None,
            NodeType::OptionSome => {
                let payload = node.as_option().map_err(|_| self.unfit(node, ty))?;
                self.payload("some", payload, Some(some), node, ty)?
            }
            _ if is_clear(some) => Some(Box::new(self.value(node, some)?)),
            _ => return Err(self.unfit(node, ty)),
        };
        Ok(Val::Option(value))
    }

    /// The same of `ok`.
    fn result(
        &mut self,
        node: &Node,
        ok: &Option<Type>,
        err: &Option<Type>,
        ty: &Type,
    ) -> Read<Val> {
        let value = match (node.as_result(), ok) {
            (Ok(Ok(payload)), ok) => Ok(self.payload("ok", payload, ok.as_ref(), node, ty)?),
            (Ok(Err(payload)), _) => Err(self.payload("err", payload, err.as_ref(), node, ty)?),
            (Err(_), Some(ok)) if is_clear(ok) => Ok(Some(Box::new(self.value(node, ok)?))),
            (Err(_), _) => return Err(self.unfit(node, ty)),
        };
        Ok(Val::Result(value))
    }

    fn payload(
        &mut self,
        case: &str,
        payload: Option<&Node>,
        expected: Option<&Type>,
        node: &Node,
        ty: &Type,
    ) -> Read<Option<Box<Val>>> {
        match (payload, expected) {
            (None, None) => Ok(None),
            (Some(payload), Some(expected)) => {
                let value = self.value(payload, expected);
                let value = value.map_err(|error| error.within(format!(".{case}")))?;
                Ok(Some(Box::new(value)))
            }
            (Some(_), None) | (None, Some(_)) => Err(self.unfit(node, ty)),
        }
    }

    fn count(&mut self) -> Read<()> {
        self.values.made += 1;
        match self.values.made > VALUES_MAX {
            true => Err(Unreadable::new(format!(
                "a call takes no more than {VALUES_MAX} values"
            ))),
            false => Ok(()),
        }
    }

    fn unfit(&self, node: &Node, ty: &Type) -> Unreadable {
        let found = self.text.get(node.span()).unwrap_or_default();
        let word = matches!(node.ty(), NodeType::Label) && matches!(ty, Type::String | Type::Char);
        // The shell eats quotes: this is by far the commonest mistake.
        let hint = match (word, ty) {
            (true, Type::String) => " (a string is written in double quotes: '\"text\"')",
            (true, _) => " (a char is written in single quotes: \"'x'\")",
            (false, _) => "",
        };
        let found = beginning(found);
        Unreadable::new(format!("expected {ty}, found `{found}`{hint}"))
    }
}

/// Whether a value of this type cannot be taken for `some`, `none`, `ok` or `err`.
fn is_clear(ty: &Type) -> bool {
    !matches!(ty, Type::Option(_) | Type::Result(_))
}

/// As much of a text as is shown of it, in one line.
fn beginning(text: &str) -> String {
    let cut = text.floor_char_boundary(FOUND_SHOWN);
    let mark = if cut < text.len() { "…" } else { "" };
    format!("{}{mark}", text[..cut].replace(char::is_control, " "))
}

impl Unreadable {
    fn new(what: String) -> Unreadable {
        let steps = Vec::new();
        Unreadable { steps, what }
    }

    fn within(mut self, step: String) -> Unreadable {
        self.steps.push(step);
        self
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.steps.is_empty() {
            f.write_str("in ")?;
            for step in self.steps.iter().rev() {
                f.write_str(step)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}
