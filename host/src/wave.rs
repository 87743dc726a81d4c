//! Values as people write and read them: WAVE (WebAssembly Value Encoding), and JSON to be read by
//! programs.
//!
//! The grammar is the crate `wasm-wave`'s. What a text means for a type is decided here, so that
//! whoever wrote it is told where it is wrong and what was expected.

mod json;
mod read;
mod write;

pub(crate) use self::json::Json;
pub(crate) use self::read::Values;
pub(crate) use self::write::Wave;

#[cfg(test)]
mod tests;
