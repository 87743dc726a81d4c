//! Bad manifests as data rows.
