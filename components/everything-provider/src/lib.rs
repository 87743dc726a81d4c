//! Exports every type that WIT has, resources, and what can go wrong; needs no route.
mod counters;
mod harm;
mod values;

wit_bindgen::generate!({
    path: "wit",
    world: "provider",
});

struct Provider;
export!(Provider);
