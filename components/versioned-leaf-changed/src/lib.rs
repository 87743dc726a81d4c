//! The same as `versioned-leaf` with another contract.
wit_bindgen::generate!({ path: "wit", world: "at-the-end" });

use exports::fixture::versions::leaf::{Guest, GuestTicket};

struct Leaf;
export!(Leaf);

impl Guest for Leaf {
    type Ticket = Ticket;

    fn version(_limit: u32) -> u32 {
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
