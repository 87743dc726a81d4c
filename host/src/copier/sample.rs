//! Guests that pass on values of any type, or make them up of whatever is in their memory: for the
//! tests and for the fuzz target `copier`.

use std::fmt::Write;

/// A type that can cross.
#[derive(Clone, Debug)]
pub(super) enum Ty {
    /// A type that has a name of its own in WAT.
    Simple(&'static str),
    /// An owned handle on a resource that is imported as `r`.
    #[cfg_attr(not(test), expect(dead_code, reason = "hostile guests hold none"))]
    Handle,
    List(Box<Ty>),
    Record(Vec<Ty>),
    Tuple(Vec<Ty>),
    Variant(Vec<Option<Ty>>),
    Enum(usize),
    Flags(usize),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
}

pub(super) const SIMPLE: [&str; 13] = [
    "bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string",
];

impl Ty {
    /// Its core types, with no bound on their number.
    pub(super) fn flat(&self) -> Vec<&'static str> {
        let all = |types: &[Ty]| types.iter().flat_map(Ty::flat).collect();
        let variant = |payloads: &[Option<&Ty>]| {
            let mut joined: Vec<&str> = Vec::new();
            for core in payloads.iter().flatten().map(|payload| payload.flat()) {
                for (place, ty) in core.into_iter().enumerate() {
                    match joined.get(place).copied() {
                        None => joined.push(ty),
                        Some(other) if other == ty => {}
                        Some("i32" | "f32") if matches!(ty, "i32" | "f32") => joined[place] = "i32",
                        Some(_) => joined[place] = "i64",
                    }
                }
            }
            joined.insert(0, "i32");
            joined
        };
        match self {
            Ty::Simple("s64" | "u64") => vec!["i64"],
            Ty::Simple("f32") => vec!["f32"],
            Ty::Simple("f64") => vec!["f64"],
            Ty::Simple("string") | Ty::List(_) => vec!["i32"; 2],
            Ty::Simple(_) | Ty::Handle | Ty::Enum(_) | Ty::Flags(_) => vec!["i32"],
            Ty::Record(fields) | Ty::Tuple(fields) => all(fields),
            Ty::Variant(cases) => variant(&cases.iter().map(Option::as_ref).collect::<Vec<_>>()),
            Ty::Option(some) => variant(&[None, Some(some)]),
            Ty::Result(ok, err) => variant(&[ok.as_deref(), err.as_deref()]),
        }
    }

    /// How it is written where it is used; types that must have a name are defined before.
    fn wat(&self, definitions: &mut Vec<String>) -> String {
        let mut named = |definition: String| {
            let name = format!("$t{}", definitions.len());
            definitions.push(definition);
            name
        };
        match self {
            Ty::Simple(name) => (*name).to_owned(),
            Ty::Handle => OWN.to_owned(),
            Ty::List(element) => format!("(list {})", element.wat(definitions)),
            Ty::Tuple(types) => {
                let types: Vec<_> = types.iter().map(|ty| ty.wat(definitions)).collect();
                format!("(tuple {})", types.join(" "))
            }
            Ty::Option(some) => format!("(option {})", some.wat(definitions)),
            Ty::Result(ok, err) => {
                let ok = ok
                    .as_ref()
                    .map(|ok| ok.wat(definitions))
                    .unwrap_or_default();
                let err = err
                    .as_ref()
                    .map(|err| format!("(error {})", err.wat(definitions)));
                format!("(result {ok} {})", err.unwrap_or_default())
            }
            Ty::Record(fields) => {
                let fields: Vec<_> = fields.iter().map(|ty| ty.wat(definitions)).collect();
                let fields = list(&fields, |n, ty| format!("(field \"f{n}\" {ty})"));
                definitions.push(format!("(record {fields})"));
                format!("$t{}", definitions.len() - 1)
            }
            Ty::Variant(cases) => {
                let cases: Vec<_> = cases
                    .iter()
                    .map(|ty| {
                        ty.as_ref()
                            .map(|ty| ty.wat(definitions))
                            .unwrap_or_default()
                    })
                    .collect();
                let cases = list(&cases, |n, ty| format!("(case \"c{n}\" {ty})"));
                definitions.push(format!("(variant {cases})"));
                format!("$t{}", definitions.len() - 1)
            }
            Ty::Enum(count) => named(format!("(enum {})", names(*count))),
            Ty::Flags(count) => named(format!("(flags {})", names(*count))),
        }
    }
}

fn list(of: &[String], one: impl Fn(usize, &String) -> String) -> String {
    let all: Vec<_> = of.iter().enumerate().map(|(n, it)| one(n, it)).collect();
    all.join(" ")
}

fn names(count: usize) -> String {
    (0..count).map(|n| format!("\"n{n}\" ")).collect()
}

const OWN: &str = "(own $r)";

/// Of strings.
pub(super) const ENCODINGS: [&str; 3] = ["utf8", "utf16", "latin1+utf16"];

/// A function's types as WAT has them.
struct Signature {
    /// Types that must have a name.
    named: String,
    parameters: String,
    /// The first parameter's, which is also a result's.
    result: String,
    /// What the parameters are passed as.
    core: Vec<&'static str>,
}

impl Signature {
    fn of(parameters: &[Ty]) -> Signature {
        let mut definitions = Vec::new();
        let types: Vec<_> = parameters
            .iter()
            .map(|ty| ty.wat(&mut definitions))
            .collect();
        let has_handles = definitions.iter().chain(&types).any(|ty| ty.contains(OWN));
        let mut named = match has_handles {
            true => "(import \"r\" (type $r (sub resource)))\n".to_owned(),
            false => String::new(),
        };
        for (n, definition) in definitions.iter().enumerate() {
            let _ = writeln!(
                named,
                "(type $d{n} {definition}) (import \"t{n}\" (type $t{n} (eq $d{n})))"
            );
        }
        let core: Vec<_> = parameters.iter().flat_map(Ty::flat).collect();
        Signature {
            named,
            parameters: list(&types, |n, ty| format!("(param \"p{n}\" {ty})")),
            result: types[0].clone(),
            core: if core.len() > 16 { vec!["i32"] } else { core },
        }
    }
}

/// What a guest is made of that passes on what it gets: `in` calls the import `out` with its own
/// parameters, `get` returns what the import `source` returns.
pub(super) struct Relay<'a> {
    pub(super) parameters: &'a [Ty],
    pub(super) encoding: &'a str,
    /// Core code of `in`, in place of passing on its parameters.
    pub(super) instead: Option<&'a str>,
    /// Core code of `get`, in place of passing on its result.
    pub(super) instead_get: Option<&'a str>,
}

impl Relay<'_> {
    pub(super) fn wat(&self) -> String {
        let Signature {
            named,
            parameters,
            result,
            core,
        } = Signature::of(self.parameters);
        let gets: String = (0..core.len()).map(|n| format!("local.get {n} ")).collect();
        let body = self.instead.map_or(gets, ToOwned::to_owned);
        let core = core.join(" ");
        let (source, get) = match &self.parameters[0].flat()[..] {
            [ty] => (
                format!("(result {ty})"),
                format!(
                    "(result {ty}) {}",
                    self.instead_get.unwrap_or("call $source")
                ),
            ),
            _ if self.instead_get.is_some() => (
                "(param i32)".to_owned(),
                format!("(result i32) {}", self.instead_get.unwrap_or_default()),
            ),
            _ => (
                "(param i32)".to_owned(),
                "(result i32) (local $at i32)
                 i32.const 0 i32.const 0 i32.const 8 i32.const 65536 call $realloc
                 local.tee $at call $source local.get $at"
                    .to_owned(),
            ),
        };
        let options = format!(
            "(memory $libc \"memory\") (realloc (func $libc \"realloc\")) string-encoding={}",
            self.encoding
        );
        format!(
            r#"(component
                {named}
                (import "out" (func $out {parameters}))
                (import "source" (func $source (result {result})))
                (core module $libc
                    (memory (export "memory") 64)
                    (global $next (mut i32) (i32.const 16))
                    (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
                        (local $at i32)
                        (local.set $at (i32.and
                            (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                            (i32.sub (i32.const 0) (local.get $align))))
                        (global.set $next (i32.add (local.get $at) (local.get $size)))
                        (memory.fill (local.get $at) (i32.const 0xAA) (local.get $size))
                        (memory.copy (local.get $at) (local.get $old)
                            (select (local.get $had) (local.get $size)
                                (i32.lt_u (local.get $had) (local.get $size))))
                        (local.get $at)))
                (core instance $libc (instantiate $libc))
                (core func $out (canon lower (func $out) {options}))
                (core func $source (canon lower (func $source) {options}))
                (core module $main
                    (import "libc" "memory" (memory 64))
                    (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
                    (import "" "out" (func $out (param {core})))
                    (import "" "source" (func $source {source}))
                    (func (export "in") (param {core}) {body} call $out)
                    (func (export "get") {get}))
                (core instance $main (instantiate $main
                    (with "libc" (instance $libc))
                    (with "" (instance (export "out" (func $out)) (export "source" (func $source))))))
                (func (export "in") {parameters} (canon lift (core func $main "in") {options}))
                (func (export "get") (result {result}) (canon lift (core func $main "get") {options})))"#
        )
    }
}

/// A guest that passes and returns whatever is in its memory, as core values that nobody has looked
/// at: `poke` sets its first bytes, and its last ones to the same; `go` calls the import `out` with
/// what is at address 0; `give` returns that; `take` takes what `out` does, into memory that `realloc`
/// allots as the second half of the memory says, word by word.
pub(super) struct Hostile<'a> {
    pub(super) parameters: &'a [Ty],
    pub(super) encoding: &'a str,
}

impl Hostile<'_> {
    /// Bytes of its memory.
    pub(super) const MEMORY: usize = 65536;

    pub(super) fn wat(&self) -> String {
        let Signature {
            named,
            parameters,
            result,
            core,
        } = Signature::of(self.parameters);
        let load = |(n, ty): (usize, &&str)| format!("({ty}.load (i32.const {})) ", n * 8);
        let loads: String = core.iter().enumerate().map(load).collect();
        let given = match &self.parameters[0].flat()[..] {
            [ty] => ty,
            _ => "i32",
        };
        let core = core.join(" ");
        let memory = "(memory $libc \"memory\")";
        let encoding = self.encoding;
        let options =
            format!("{memory} (realloc (func $libc \"realloc\")) string-encoding={encoding}");
        format!(
            r#"(component
                {named}
                (import "out" (func $out {parameters}))
                (core module $libc
                    (memory (export "memory") 1 1)
                    (global $word (mut i32) (i32.const 32768))
                    (global $next (mut i32) (i32.const 4096))
                    (func (export "first") (param i32 i32 i32 i32) (result i32) i32.const 0)
                    (func (export "realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
                        (local $at i32)
                        (local.set $at (i32.load (global.get $word)))
                        (global.set $word (i32.and
                            (i32.add (global.get $word) (i32.const 4)) (i32.const 0xfffc)))
                        (if (local.get $at) (then (return (local.get $at))))
                        (local.set $at (i32.and
                            (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                            (i32.sub (i32.const 0) (local.get $align))))
                        (global.set $next (i32.add (local.get $at) (local.get $size)))
                        (local.get $at)))
                (core instance $libc (instantiate $libc))
                (core func $out (canon lower (func $out) {options}))
                (core module $main
                    (import "libc" "memory" (memory 1))
                    (import "" "out" (func $out (param {core})))
                    (func (export "poke") (param i32 i32)
                        (memory.copy (i32.sub (i32.const 65536) (local.get 1))
                            (local.get 0) (local.get 1)))
                    (func (export "go") {loads} call $out)
                    (func (export "give") (result {given}) ({given}.load (i32.const 0)))
                    (func (export "take") (param {core})))
                (core instance $main (instantiate $main
                    (with "libc" (instance $libc))
                    (with "" (instance (export "out" (func $out))))))
                (func (export "poke") (param "bytes" (list u8)) (canon lift (core func $main "poke")
                    {memory} (realloc (func $libc "first"))))
                (func (export "go") (canon lift (core func $main "go")))
                (func (export "give") (result {result}) (canon lift (core func $main "give") {memory}
                    string-encoding={encoding}))
                (func (export "take") {parameters} (canon lift (core func $main "take") {options})))"#
        )
    }
}
