//! Says which revision it is, and misbehaves if it is made to: see `versioned`.
wit_bindgen::generate!({ path: "wit", world: "at-the-end" });

use exports::fixture::versions::leaf::{Guest, GuestTicket};

struct Leaf;
export!(Leaf);

impl Guest for Leaf {
    type Ticket = Ticket;

    fn version() -> u32 {
        versioned::behave();
        versioned::version()
    }
}

struct Ticket;

impl GuestTicket for Ticket {
    fn new() -> Ticket {
        Ticket
    }

    fn version(&self) -> u32 {
        versioned::version()
    }
}
