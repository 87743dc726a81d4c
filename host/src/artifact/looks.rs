//! Guesses what a file is that is not a component, so that the error can say more than "invalid".

use std::fmt;

use super::Fault;

/// What the first bytes of a file that is not WebAssembly look like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Looks {
    /// `(module …)` or `(component …)`.
    Wat,
    /// `package …;` or `interface …`.
    Wit,
    /// The pointer that stands for a file kept by Git LFS.
    GitLfsPointer,
    /// An HTML page, as a failed download leaves it.
    Html,
    /// A JSON document.
    Json,
    /// A script with `#!`.
    Script,
    /// Other readable text.
    Text,
    /// Code that wasmtime has compiled (`.cwasm`).
    CompiledWasm,
    /// An executable or library for this or another machine; the format's name.
    Executable(&'static str),
    /// A compressed file or an archive; the format's name and its unpacker.
    Compressed(&'static str, &'static str),
    /// Nothing but zero bytes.
    Zeros,
    /// None of these; the first bytes.
    Binary(Vec<u8>),
}

/// Bytes looked at.
const LOOKED_AT: usize = 4096;

/// First bytes and what they mean. The longer of two that agree stands first.
const MAGIC: &[(&[u8], Looks)] = &[
    (b"\x7fELF", Looks::Executable("ELF")),
    (b"MZ", Looks::Executable("Windows")),
    (b"\xcf\xfa\xed\xfe", Looks::Executable("Mach-O")),
    (b"\xca\xfe\xba\xbe", Looks::Executable("Mach-O or Java")),
    (b"!<arch>", Looks::Executable("static library")),
    (b"BC\xc0\xde", Looks::Executable("LLVM bitcode")),
    (b"\x1f\x8b", Looks::Compressed("gzip", "gunzip")),
    (b"PK\x03\x04", Looks::Compressed("zip", "unzip")),
    (b"\x28\xb5\x2f\xfd", Looks::Compressed("zstd", "unzstd")),
    (b"\xfd7zXZ\0", Looks::Compressed("xz", "unxz")),
    (b"BZh", Looks::Compressed("bzip2", "bunzip2")),
    (b"#!", Looks::Script),
    (b"version https://git-lfs", Looks::GitLfsPointer),
];

/// wasmtime writes this into the ELF header's operating-system byte of what it compiles.
const ELF_OSABI_WASMTIME: u8 = 200;
const ELF_OSABI_AT: usize = 7;

const WASM_MAGIC: &[u8] = b"\0asm";
const CORE_VERSION: [u8; 4] = [1, 0, 0, 0];
const COMPONENT_VERSION: [u8; 4] = [0x0d, 0, 1, 0];

/// Passes what begins as a component does, and says of anything else what it is.
pub(super) fn component_binary(bytes: &[u8]) -> Result<(), Fault> {
    if bytes.is_empty() {
        return Err(Fault::Empty);
    }
    if !bytes.starts_with(WASM_MAGIC) {
        return Err(if WASM_MAGIC.starts_with(bytes) {
            truncated(bytes)
        } else {
            Fault::NotWasm(Looks::of(bytes))
        });
    }
    match bytes[WASM_MAGIC.len()..].first_chunk::<4>() {
        None => Err(truncated(bytes)),
        Some(&COMPONENT_VERSION) => Ok(()),
        Some(&CORE_VERSION) => Err(core_module(bytes)),
        Some(version) => Err(Fault::UnknownVersion { version: *version }),
    }
}

fn truncated(bytes: &[u8]) -> Fault {
    Fault::Truncated {
        offset: 0,
        size: bytes.len() as u64,
    }
}

/// Looks into a core module as far as it can be read for what tells how to make a component.
fn core_module(bytes: &[u8]) -> Fault {
    let mut wasi_preview1 = false;
    let mut embedded_wit = false;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(wasmparser::Payload::ImportSection(imports)) => {
                wasi_preview1 |= imports.into_imports().any(|import| {
                    import.is_ok_and(|import| import.module == "wasi_snapshot_preview1")
                });
            }
            Ok(wasmparser::Payload::CustomSection(section)) => {
                embedded_wit |= section.name().starts_with("component-type");
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    Fault::CoreModule {
        wasi_preview1,
        embedded_wit,
    }
}

impl Looks {
    /// The best guess from the first bytes.
    pub fn of(bytes: &[u8]) -> Looks {
        if bytes.starts_with(b"\x7fELF") && bytes.get(ELF_OSABI_AT) == Some(&ELF_OSABI_WASMTIME) {
            return Looks::CompiledWasm;
        }
        let known = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic));
        if let Some((_, looks)) = known {
            return looks.clone();
        }
        let head = &bytes[..bytes.len().min(LOOKED_AT)];
        if head.iter().all(|byte| *byte == 0) {
            return Looks::Zeros;
        }
        text(head).map_or_else(
            || Looks::Binary(head[..head.len().min(4)].to_vec()),
            Looks::of_text,
        )
    }

    fn of_text(text: &str) -> Looks {
        let start = without_comments(text);
        let word = |word: &str| {
            start
                .get(..word.len())
                .is_some_and(|s| s.eq_ignore_ascii_case(word))
        };
        if start.starts_with("(module") || start.starts_with("(component") {
            Looks::Wat
        } else if word("<!doctype html") || word("<html") {
            Looks::Html
        } else if start.starts_with("package ") || start.starts_with("interface ") {
            Looks::Wit
        } else if start.starts_with('{') {
            Looks::Json
        } else {
            Looks::Text
        }
    }

    /// What to do with such a file.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self {
            Looks::Wat => "assemble it with `wasm-tools parse FILE -o COMPONENT.wasm`",
            Looks::Wit => "name the component that implements it, not its interface",
            Looks::GitLfsPointer => "fetch the file itself with `git lfs pull`",
            Looks::Html => "the download answered with a page: fetch it again",
            Looks::CompiledWasm => {
                "give the component it was compiled from: Skep runs no code that it has not compiled"
            }
            Looks::Executable(_) => "build it for wasm32-wasip2",
            Looks::Compressed(..) => "unpack it first",
            Looks::Zeros => "copy or download it again",
            Looks::Json | Looks::Script | Looks::Text | Looks::Binary(_) => {
                "name a WebAssembly component, whose first bytes are 00 61 73 6d"
            }
        })
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Looks::Wat => f.write_str("WebAssembly text (WAT)"),
            Looks::Wit => f.write_str("WIT text"),
            Looks::GitLfsPointer => f.write_str("a Git LFS pointer"),
            Looks::Html => f.write_str("an HTML page"),
            Looks::Json => f.write_str("JSON"),
            Looks::Script => f.write_str("a script"),
            Looks::Text => f.write_str("text"),
            Looks::CompiledWasm => f.write_str("code that wasmtime has compiled (.cwasm)"),
            Looks::Executable(format) => write!(f, "native code ({format})"),
            Looks::Compressed(format, tool) => write!(f, "a {format} file (`{tool}` unpacks it)"),
            Looks::Zeros => f.write_str("nothing but zero bytes"),
            Looks::Binary(head) => write!(f, "binary data that begins with {head:02x?}"),
        }
    }
}

/// The head as text, if it is: UTF-8 (perhaps cut off within a character) without control bytes.
fn text(head: &[u8]) -> Option<&str> {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let readable = |c: char| !c.is_control() || c.is_ascii_whitespace();
    valid.chars().all(readable).then_some(valid)
}

/// Skips a byte-order mark, white space, and the line comments of WAT (`;;`) and WIT (`//`).
fn without_comments(text: &str) -> &str {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while rest.starts_with(";;") || rest.starts_with("//") {
        rest = rest
            .split_once('\n')
            .map_or("", |(_, rest)| rest)
            .trim_start();
    }
    rest
}
