//! The two identities that name compiled code: the component's, which the core knows, and the
//! engine's.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;

pub use skep_core::digest::Digest;

/// Characters of a hash that tell it from others in a log.
const SHORT: usize = 12;

/// What compiled code must agree on with the engine that runs it: wasmtime's version, its
/// settings, the processor. Code of one hash never runs under another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EngineHash([u8; 32]);

impl EngineHash {
    /// The hash of this engine; the same in another process of the same executable and machine.
    pub fn of(engine: &Engine) -> EngineHash {
        let mut hasher = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        EngineHash(hasher.0.finalize().into())
    }

    /// The 32 bytes themselves.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Not an `EngineHash`: 64 hexadecimal digits were expected.
#[derive(Debug, thiserror::Error)]
#[error("an engine hash has 64 hexadecimal digits")]
pub struct BadEngineHash;

impl FromStr for EngineHash {
    type Err = BadEngineHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * bytes.len() {
            return Err(BadEngineHash);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| BadEngineHash)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| BadEngineHash)?;
        }
        Ok(EngineHash(bytes))
    }
}

impl fmt::Display for EngineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for EngineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0)[..SHORT])
    }
}

/// wasmtime gives its identity to a `Hasher`, std's are unstable or short: this one keeps all.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Never asked for: `EngineHash::of` takes the whole digest.
    fn finish(&self) -> u64 {
        0
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
