wit_bindgen::generate!({
    path: "../wit",
    world: "greeter",
});

use exports::example::greetings::greetings::{Guest, Problem};

struct Greeter;
export!(Greeter);

impl Guest for Greeter {
    fn greet(name: String) -> Result<String, Problem> {
        match name.as_str() {
            "" => Err(Problem::NoName),
            "panic" => panic!("asked to"),
            name => Ok(format!("Hello, {name}!")),
        }
    }

    fn letters(name: String) -> u32 {
        match name.as_str() {
            "panic" => panic!("asked to"),
            name => name.chars().count() as u32,
        }
    }
}
