//! Whether the crashes of a service leave core dumps, how many, and how large ones.
use crate::size::ByteSize;

/// Enough to compare the first crashes with the latest.
pub const COUNT: u32 = 4;
/// More would take longer to list than anybody looks at.
pub const COUNT_MAX: u32 = 1000;
/// Room for all that [`crate::limits::MEMORY`] lets an instance have, with its stack.
pub const SIZE: ByteSize = ByteSize::mib(68);
/// Memory of 32 bits, whole.
pub const SIZE_MAX: ByteSize = ByteSize::gib(4);

/// `core-dumps` in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreDumps {
    /// Files kept of the service; the oldest gives way.
    pub count: u32,
    /// Bytes of a file. What would be larger is not written.
    pub size: ByteSize,
}

impl Default for CoreDumps {
    fn default() -> Self {
        Self {
            count: COUNT,
            size: SIZE,
        }
    }
}
