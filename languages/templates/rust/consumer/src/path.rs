//! What a request's path asks for.

/// The name in its last segment, which may be empty.
pub fn name(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn the_last_segment_is_the_name() {
        assert_eq!(name("/people/Ada?loud=1"), "Ada");
        assert_eq!(name("/"), "");
    }
}
