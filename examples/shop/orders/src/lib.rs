//! What has been bought. Orders live in this instance's memory: a crash forgets them.
wit_bindgen::generate!({
    path: "../wit/orders.wit",
    world: "service",
});

use std::cell::RefCell;
use std::time::SystemTime;

use exports::shop::orders::orders::{Guest, Order, Problem, Purchase};

/// Orders in memory, about 2 KiB each at most.
const ORDERS_MAX: usize = 10_000;
const LINES_MAX: usize = 20;
const TEXT_LENGTH_MAX: usize = 100;

thread_local! {
    static ORDERS: RefCell<Vec<Order>> = RefCell::default();
}

struct Orders;
export!(Orders);

impl Guest for Orders {
    fn place(purchase: Purchase) -> Result<Order, Problem> {
        if let Some(mistake) = mistake_in(&purchase) {
            return Err(Problem::Unacceptable(mistake.to_string()));
        }
        ORDERS.with_borrow_mut(|orders| {
            let of_payment = |order: &&Order| order.purchase.payment == purchase.payment;
            if let Some(order) = orders.iter().find(of_payment) {
                return Ok(order.clone());
            }
            if orders.len() >= ORDERS_MAX {
                return Err(Problem::Full);
            }
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let order = Order {
                id: token::random(),
                placed_at: now.map_or(0, |since| since.as_secs()),
                purchase,
            };
            orders.push(order.clone());
            Ok(order)
        })
    }

    fn find(customer: String, id: String) -> Result<Option<Order>, Problem> {
        ORDERS.with_borrow(|orders| {
            let found = orders.iter().find(|order| order.id == id);
            let own = found.filter(|order| order.purchase.customer == customer);
            Ok(own.cloned())
        })
    }

    fn of_customer(customer: String) -> Result<Vec<Order>, Problem> {
        ORDERS.with_borrow(|orders| {
            let newest_first = orders.iter().rev();
            let own = newest_first.filter(|order| order.purchase.customer == customer);
            Ok(own.cloned().collect())
        })
    }
}

fn mistake_in(purchase: &Purchase) -> Option<&'static str> {
    let too_long = |text: &String| text.len() > TEXT_LENGTH_MAX;
    let texts = [
        &purchase.customer,
        &purchase.payment,
        &purchase.card_last4,
        &purchase.address,
    ];
    let names = purchase
        .lines
        .iter()
        .flat_map(|line| [&line.name, &line.product]);
    let sum = purchase.lines.iter().try_fold(0u32, |sum, line| {
        line.price_cents
            .checked_mul(line.quantity)
            .and_then(|cents| sum.checked_add(cents))
    });
    match () {
        () if purchase.lines.is_empty() || purchase.lines.len() > LINES_MAX => {
            Some("an order has between 1 and 20 lines")
        }
        () if sum != Some(purchase.total_cents) => Some("the total is not the sum of the lines"),
        () if texts.into_iter().chain(names).any(too_long) => Some("a text is too long"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exports::shop::orders::orders::Line;

    #[test]
    fn an_order_must_add_up() {
        let line = |quantity, price_cents| Line {
            product: "honey".to_string(),
            name: "Honey".to_string(),
            quantity,
            price_cents,
        };
        let purchase = |lines, total_cents| Purchase {
            customer: "c".to_string(),
            lines,
            total_cents,
            payment: "p".to_string(),
            card_last4: "4242".to_string(),
            address: String::new(),
        };
        assert_eq!(
            mistake_in(&purchase(vec![line(2, 100), line(1, 50)], 250)),
            None
        );
        assert!(mistake_in(&purchase(vec![line(2, 100)], 201)).is_some());
        assert!(mistake_in(&purchase(vec![line(u32::MAX, 2)], 0)).is_some());
        assert!(mistake_in(&purchase(vec![], 0)).is_some());
        let mut wordy = purchase(vec![line(2, 100)], 200);
        wordy.lines[0].name = "y".repeat(101);
        assert!(mistake_in(&wordy).is_some());
    }
}
