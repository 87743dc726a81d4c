//! The Skep host.
