//! Greets people for other services.

wit_bindgen::generate!({ path: "wit", world: "service", generate_all });

use exports::example::greetings::greetings::{Guest, Problem};

struct Service;
export!(Service);

impl Guest for Service {
    fn greet(name: String) -> Result<String, Problem> {
        match name.as_str() {
            "" => Err(Problem::NoName),
            name => Ok(format!("Hello, {name}!")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_name_is_greeted() {
        let greeting = Service::greet("Ada".to_owned());
        assert_eq!(greeting.unwrap(), "Hello, Ada!");
    }

    #[test]
    fn nobody_is_not() {
        let problem = Service::greet(String::new()).unwrap_err();
        assert!(matches!(problem, Problem::NoName));
    }
}
