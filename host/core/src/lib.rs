//! The pure part of Skep.
