//! What each customer wants to buy. Carts live in this instance's memory: a crash empties them.
//! A cart's id is random and known to its owner's browser only.
wit_bindgen::generate!({
    path: "../wit/cart.wit",
    world: "service",
    additional_derives: [PartialEq],
});

use std::cell::RefCell;
use std::collections::HashMap;

use exports::shop::cart::carts::{Guest, Line, Problem};

const LINES_MAX: u32 = 20;
const QUANTITY_MAX: u32 = 99;
/// Carts in memory, about 1 KiB each at most.
const CARTS_MAX: usize = 10_000;
const ID_LENGTH: usize = 32;
const PRODUCT_LENGTH_MAX: usize = 64;

#[derive(Clone, Default)]
struct Cart {
    lines: Vec<Line>,
}

thread_local! {
    static CARTS: RefCell<HashMap<String, Cart>> = RefCell::default();
}

struct Carts;
export!(Carts);

impl Guest for Carts {
    fn contents(cart: String) -> Result<Vec<Line>, Problem> {
        Ok(known(&cart).lines)
    }

    fn add(cart: String, product: String, quantity: u32) -> Result<(), Problem> {
        change(cart, |cart| cart.add(&product, quantity))
    }

    fn set(cart: String, product: String, quantity: u32) -> Result<(), Problem> {
        change(cart, |cart| cart.set(&product, quantity))
    }

    fn empty(cart: String) -> Result<(), Problem> {
        CARTS.with_borrow_mut(|carts| carts.remove(&cart));
        Ok(())
    }
}

/// A cart that nobody has filled is empty, not missing.
fn known(id: &str) -> Cart {
    CARTS
        .with_borrow(|carts| carts.get(id).cloned())
        .unwrap_or_default()
}

fn change(id: String, with: impl FnOnce(&mut Cart) -> Result<(), Problem>) -> Result<(), Problem> {
    if id.len() != ID_LENGTH || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::NoCart);
    }
    let mut changed = known(&id);
    with(&mut changed)?;
    CARTS.with_borrow_mut(|carts| {
        if carts.len() >= CARTS_MAX && !carts.contains_key(&id) {
            return Err(Problem::Full);
        }
        carts.insert(id, changed);
        Ok(())
    })
}

impl Cart {
    fn add(&mut self, product: &str, more: u32) -> Result<(), Problem> {
        let had = self
            .lines
            .iter()
            .find(|line| line.product == product)
            .map_or(0, |line| line.quantity);
        self.set(product, had.saturating_add(more))
    }

    /// Sets how many of a product are wanted; none removes the line.
    fn set(&mut self, product: &str, quantity: u32) -> Result<(), Problem> {
        if quantity > QUANTITY_MAX {
            return Err(Problem::TooMany(QUANTITY_MAX));
        }
        if product.is_empty() || product.len() > PRODUCT_LENGTH_MAX {
            return Err(Problem::NoProduct);
        }
        let at = self.lines.iter().position(|line| line.product == product);
        match (at, quantity) {
            (Some(at), 0) => drop(self.lines.remove(at)),
            (Some(at), _) => self.lines[at].quantity = quantity,
            (None, 0) => {}
            (None, _) if self.lines.len() >= LINES_MAX as usize => {
                return Err(Problem::TooManyLines(LINES_MAX));
            }
            (None, _) => self.lines.push(Line {
                product: product.to_string(),
                quantity,
            }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_adds_up_setting_replaces_and_none_removes() {
        let mut cart = Cart::default();
        cart.add("honey", 2).unwrap();
        cart.add("honey", 3).unwrap();
        cart.add("candle", 1).unwrap();
        assert_eq!(
            cart.lines[0],
            Line {
                product: "honey".to_string(),
                quantity: 5
            }
        );
        cart.set("honey", 1).unwrap();
        cart.set("candle", 0).unwrap();
        assert_eq!(
            cart.lines,
            [Line {
                product: "honey".to_string(),
                quantity: 1
            }]
        );
    }

    #[test]
    fn a_cart_has_limits() {
        let mut cart = Cart::default();
        assert_eq!(cart.add("honey", 100), Err(Problem::TooMany(99)));
        cart.add("honey", 99).unwrap();
        assert!(cart.add("honey", u32::MAX).is_err());
        for n in 1..LINES_MAX {
            cart.add(&format!("p{n}"), 1).unwrap();
        }
        assert_eq!(cart.add("one-more", 1), Err(Problem::TooManyLines(20)));
        assert_eq!(cart.set("", 1), Err(Problem::NoProduct));
    }
}
