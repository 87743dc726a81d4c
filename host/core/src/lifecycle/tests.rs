//! Life stories as data rows.
