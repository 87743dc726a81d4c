//! Says which revision it is, and asks the leaf for its own.
wit_bindgen::generate!({ path: "../versioned-leaf/wit", world: "in-the-middle" });

use exports::fixture::versions::middle::Guest;
use fixture::versions::leaf;

struct Middle;
export!(Middle);

impl Guest for Middle {
    fn versions() -> (u32, u32) {
        versioned::behave();
        (versioned::version(), leaf::version())
    }
}
