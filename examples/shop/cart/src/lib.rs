//! What each customer wants to buy. Carts live in this instance's memory: a crash empties them.
//! A cart's id is random and known to its owner's browser only.
use std::cell::RefCell;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use shop_http::{Method, Problem, Request, Response};

const LINES_MAX: usize = 20;
const QUANTITY_MAX: u32 = 99;
/// Carts in memory, about 1 KiB each at most.
const CARTS_MAX: usize = 10_000;
const ID_LENGTH: usize = 32;
const PRODUCT_LENGTH_MAX: usize = 64;

#[derive(Clone, Default, Serialize)]
struct Cart {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Line {
    product: String,
    quantity: u32,
}

#[derive(Deserialize)]
struct Quantity {
    quantity: u32,
}

thread_local! {
    static CARTS: RefCell<HashMap<String, Cart>> = RefCell::default();
}

shop_http::serve!(answer);

fn answer(request: &Request) -> Response {
    match (request.verb(), request.segments().as_slice()) {
        (Method::Get, ["healthz"]) => Response::well(),
        (Method::Get, ["api", "carts", id]) => Response::json(200, &cart(id)),
        (Method::Delete, ["api", "carts", id]) => {
            CARTS.with_borrow_mut(|carts| carts.remove(*id));
            Response::empty(204)
        }
        (Method::Post, ["api", "carts", id, product]) => {
            change(request, id, |cart, more| cart.add(product, more)).into()
        }
        (Method::Put, ["api", "carts", id, product]) => {
            change(request, id, |cart, quantity| cart.set(product, quantity)).into()
        }
        (_, ["api", "carts", _]) => Response::method_not_allowed("GET, HEAD, DELETE"),
        (_, ["api", "carts", _, _]) => Response::method_not_allowed("POST, PUT"),
        _ => Response::not_found(),
    }
}

/// A cart that nobody has filled is empty, not missing.
fn cart(id: &str) -> Cart {
    CARTS
        .with_borrow(|carts| carts.get(id).cloned())
        .unwrap_or_default()
}

fn change(
    request: &Request,
    id: &str,
    with: impl FnOnce(&mut Cart, u32) -> Result<(), Problem>,
) -> Result<Response, Problem> {
    let Quantity { quantity } = request.json()?;
    if id.len() != ID_LENGTH || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Problem::new(404, "There is no such cart."));
    }
    let mut changed = cart(id);
    with(&mut changed, quantity)?;
    CARTS.with_borrow_mut(|carts| {
        if carts.len() >= CARTS_MAX && !carts.contains_key(id) {
            return Err(Problem::new(
                503,
                "All our carts are taken; please come back later.",
            ));
        }
        carts.insert(id.to_string(), changed.clone());
        Ok(())
    })?;
    Ok(Response::json(200, &changed))
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
            return Err(Problem::new(
                422,
                format!("We sell at most {QUANTITY_MAX} of a product at once."),
            ));
        }
        if product.len() > PRODUCT_LENGTH_MAX {
            return Err(Problem::new(422, "That is no product."));
        }
        let at = self.lines.iter().position(|line| line.product == product);
        match (at, quantity) {
            (Some(at), 0) => drop(self.lines.remove(at)),
            (Some(at), _) => self.lines[at].quantity = quantity,
            (None, 0) => {}
            (None, _) if self.lines.len() >= LINES_MAX => {
                return Err(Problem::new(
                    422,
                    format!("A cart holds {LINES_MAX} different products."),
                ));
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
        assert_eq!(cart.add("honey", 100).unwrap_err().status, 422);
        cart.add("honey", 99).unwrap();
        assert!(cart.add("honey", u32::MAX).is_err());
        for n in 1..LINES_MAX {
            cart.add(&format!("p{n}"), 1).unwrap();
        }
        assert!(cart.add("one-more", 1).is_err());
    }
}
