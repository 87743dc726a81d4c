//! What has been ordered.
use shop_http::{Problem, Response};

use super::Page;
use super::basket::lines;
use super::layout::page;
use crate::html::{Day, Euro, Text};
use crate::shop::orders::orders;
use crate::visit::Visit;

/// The confirmation, for the customer who placed the order and nobody else.
pub(crate) fn order(visit: &Visit, id: &str) -> Page {
    let unknown = || Problem::new(404, "There is no such order, or you are not signed in.");
    let customer = visit.customer()?.ok_or_else(unknown)?;
    let order = orders::find(&customer.id, id)?.ok_or_else(unknown)?;
    let purchase = &order.purchase;
    let body = format!(
        r#"<section class="narrow"><h1>Thank you</h1>
<p>Your order <code>{number}</code> of {day} is on its way, as far as a demonstration can be.</p>
<ul class="summary">
{lines}</ul>
<p class="total">Total <strong>{total}</strong></p>
<dl><dt>To</dt><dd>{address}</dd><dt>Paid with</dt><dd>card ending in {last4}</dd></dl>
<p><a href="/">Back to the shop</a></p></section>"#,
        number = Text(order.id.get(..8).unwrap_or(&order.id)),
        day = Day(order.placed_at),
        lines = lines(&purchase.lines),
        total = Euro(purchase.total_cents),
        address = Text(&purchase.address),
        last4 = Text(&purchase.card_last4),
    );
    Ok(page(visit, 200, "Your order", &body))
}

pub(crate) fn orders(visit: &Visit) -> Page {
    let Some(customer) = visit.customer()? else {
        return Ok(Response::see_other("/sign-in?next=/orders"));
    };
    let orders = orders::of_customer(&customer.id)?;
    let mut rows = String::new();
    for order in &orders {
        rows.push_str(&format!(
            r#"<li><a href="/order/{id}">{day}</a> <span>{total}</span></li>
"#,
            id = Text(&order.id),
            day = Day(order.placed_at),
            total = Euro(order.purchase.total_cents),
        ));
    }
    let list = match orders.is_empty() {
        true => "<p>None yet.</p>".to_string(),
        false => format!("<ul class=\"summary\">\n{rows}</ul>"),
    };
    let body = format!(r#"<section class="narrow"><h1>Your orders</h1>{list}</section>"#);
    Ok(page(visit, 200, "Your orders", &body))
}
