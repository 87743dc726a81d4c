//! Whom to greet, and how.

/// The words for whoever the last segment of the path names.
pub fn greeting(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    match path.rsplit('/').next() {
        None | Some("") => "Hello, world!".to_owned(),
        Some(name) => format!("Hello, {name}!"),
    }
}

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn the_last_segment_is_greeted() {
        assert_eq!(greeting("/Ada"), "Hello, Ada!");
        assert_eq!(greeting("/people/Ada?loud=1"), "Hello, Ada!");
    }

    #[test]
    fn without_a_name_the_world_is() {
        assert_eq!(greeting("/"), "Hello, world!");
    }
}
