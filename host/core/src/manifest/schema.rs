//! The JSON Schema of the manifest, from the types that read it.
