//! Random tokens: what ids and sessions are made of.

/// 128 random bits as 32 lower-case hexadecimal digits.
pub fn random() -> String {
    let bytes = wasip2::random::random::get_random_bytes(16);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text has the form of a token.
pub fn is_one(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
