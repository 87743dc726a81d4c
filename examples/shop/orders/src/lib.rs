//! What has been bought. Orders live in this instance's memory: a crash forgets them. An order's
//! id is random; who knows it may see the order.
use std::cell::RefCell;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use shop_http::{Method, Problem, Request, Response, random_token};

/// Orders in memory, about 2 KiB each at most.
const ORDERS_MAX: usize = 10_000;
const LINES_MAX: usize = 20;
const TEXT_LENGTH_MAX: usize = 100;

/// An order as the storefront sends it: prices and names as they were when it was placed.
#[derive(Clone, Deserialize, Serialize)]
struct Wanted {
    account: String,
    lines: Vec<Line>,
    total_cents: u32,
    payment: String,
    card_last4: String,
    address: String,
}

#[derive(Clone, Deserialize, Serialize)]
struct Line {
    product: String,
    name: String,
    quantity: u32,
    price_cents: u32,
}

#[derive(Clone, Serialize)]
struct Order {
    id: String,
    /// Seconds since 1970.
    placed_at: u64,
    #[serde(flatten)]
    wanted: Wanted,
}

thread_local! {
    static ORDERS: RefCell<Vec<Order>> = RefCell::default();
}

shop_http::serve!(answer);

fn answer(request: &Request) -> Response {
    match (request.verb(), request.segments().as_slice()) {
        (Method::Get, ["healthz"]) => Response::well(),
        (Method::Get, ["api", "orders"]) => {
            Response::json(200, &of_account(request.query.get("account")))
        }
        (Method::Post, ["api", "orders"]) => request
            .json()
            .and_then(place)
            .map(|order| Response::json(201, &order))
            .into(),
        (Method::Get, ["api", "orders", id]) => {
            by_id(id).map(|order| Response::json(200, &order)).into()
        }
        (_, ["api", "orders"]) => Response::method_not_allowed("GET, HEAD, POST"),
        (_, ["api", "orders", _]) => Response::method_not_allowed("GET, HEAD"),
        _ => Response::not_found(),
    }
}

fn place(wanted: Wanted) -> Result<Order, Problem> {
    if let Some(mistake) = mistake_in(&wanted) {
        return Err(Problem::new(422, mistake));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let placed_at = now.map_or(0, |since| since.as_secs());
    ORDERS.with_borrow_mut(|orders| {
        // A payment buys one order: the same one again, should the storefront ask twice.
        if let Some(order) = orders
            .iter()
            .find(|order| order.wanted.payment == wanted.payment)
        {
            return Ok(order.clone());
        }
        if orders.len() >= ORDERS_MAX {
            return Err(Problem::new(503, "We cannot take more orders today."));
        }
        let order = Order {
            id: random_token(),
            placed_at,
            wanted,
        };
        orders.push(order.clone());
        Ok(order)
    })
}

fn mistake_in(wanted: &Wanted) -> Option<&'static str> {
    let texts = [
        &wanted.account,
        &wanted.payment,
        &wanted.card_last4,
        &wanted.address,
    ];
    let too_long = |text: &str| text.len() > TEXT_LENGTH_MAX;
    let sum = wanted.lines.iter().try_fold(0u32, |sum, line| {
        line.price_cents
            .checked_mul(line.quantity)
            .and_then(|cents| sum.checked_add(cents))
    });
    match wanted {
        _ if wanted.lines.is_empty() || wanted.lines.len() > LINES_MAX => {
            Some("An order has between 1 and 20 lines.")
        }
        _ if sum != Some(wanted.total_cents) => Some("The total is not the sum of the lines."),
        _ if texts.iter().any(|text| too_long(text)) => Some("A text is too long."),
        _ if wanted
            .lines
            .iter()
            .any(|line| too_long(&line.name) || too_long(&line.product)) =>
        {
            Some("A product's name is too long.")
        }
        _ => None,
    }
}

fn by_id(id: &str) -> Result<Order, Problem> {
    let found = ORDERS.with_borrow(|orders| orders.iter().find(|order| order.id == id).cloned());
    found.ok_or_else(|| Problem::new(404, "There is no such order."))
}

/// An account's orders, the newest first.
fn of_account(account: &str) -> Vec<Order> {
    ORDERS.with_borrow(|orders| {
        let own = orders
            .iter()
            .rev()
            .filter(|order| order.wanted.account == account);
        own.cloned().collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_must_add_up() {
        let line = |quantity, price_cents| Line {
            product: "honey".to_string(),
            name: "Honey".to_string(),
            quantity,
            price_cents,
        };
        let wanted = |lines, total_cents| Wanted {
            account: "a".to_string(),
            lines,
            total_cents,
            payment: "p".to_string(),
            card_last4: "4242".to_string(),
            address: String::new(),
        };
        assert_eq!(
            mistake_in(&wanted(vec![line(2, 100), line(1, 50)], 250)),
            None
        );
        assert!(mistake_in(&wanted(vec![line(2, 100)], 201)).is_some());
        assert!(mistake_in(&wanted(vec![line(u32::MAX, 2)], 0)).is_some());
        assert!(mistake_in(&wanted(vec![], 0)).is_some());
    }
}
