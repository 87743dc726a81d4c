//! The cart, and paying for what is in it.
use shop_http::{Problem, Response};

use super::Page;
use super::layout::{alert, page};
use crate::html::{Euro, Text};
use crate::shop::cart::carts;
use crate::shop::catalog::products;
use crate::shop::orders::orders::Line;
use crate::visit::Visit;

/// The cart with the catalog's names and prices of one moment.
#[derive(Default)]
pub(crate) struct Basket {
    pub(crate) lines: Vec<Line>,
    pub(crate) total_cents: u32,
}

impl Basket {
    /// What is no longer sold is left out.
    pub(crate) fn of(visit: &Visit) -> Result<Basket, Problem> {
        let wanted = match visit.cart() {
            Some(id) => carts::contents(id)?,
            None => Vec::new(),
        };
        if wanted.is_empty() {
            return Ok(Basket::default());
        }
        let edition = products::current()?;
        let mut lines = Vec::new();
        for line in wanted {
            match edition.find(&line.product) {
                Ok(product) => lines.push(Line {
                    product: line.product,
                    name: product.name,
                    quantity: line.quantity,
                    price_cents: product.price_cents,
                }),
                Err(products::Problem::NotSold) => {}
                Err(problem) => return Err(problem.into()),
            }
        }
        let total_cents = lines
            .iter()
            .try_fold(0u32, |sum, line| sum.checked_add(line.total_cents()?))
            .ok_or_else(|| Problem::new(422, "Nobody can pay that much."))?;
        Ok(Basket { lines, total_cents })
    }
}

impl Line {
    fn total_cents(&self) -> Option<u32> {
        self.price_cents.checked_mul(self.quantity)
    }
}

pub(crate) fn cart(visit: &Visit, problem: Option<&Problem>) -> Page {
    let basket = Basket::of(visit)?;
    let status = problem.map_or(200, |problem| problem.status);
    if basket.lines.is_empty() {
        let body = format!(
            r#"<section class="hero"><h1>Your cart</h1>{}<p>It is empty.</p>
<p><a href="/">Look around</a></p></section>"#,
            alert(problem)
        );
        return Ok(page(visit, status, "Your cart", &body));
    }
    let rows: String = basket.lines.iter().map(cart_row).collect();
    let body = format!(
        r#"<h1>Your cart</h1>
{alert}
<div class="scroll"><table>
<thead><tr><th scope="col">Product</th><th scope="col">Price</th><th scope="col">Quantity</th><th scope="col" class="number">Sum</th></tr></thead>
<tbody>
{rows}</tbody>
<tfoot><tr><th scope="row" colspan="3">Total</th><td class="number">{total}</td></tr></tfoot>
</table></div>
<p class="row end"><a href="/">Go on shopping</a> <a class="button" href="/checkout">Check out</a></p>"#,
        alert = alert(problem),
        total = Euro(basket.total_cents),
    );
    Ok(page(visit, status, "Your cart", &body))
}

fn cart_row(line: &Line) -> String {
    format!(
        r#"<tr><th scope="row"><a href="/product/{id}">{name}</a></th><td>{price}</td>
<td><form method="post" action="/cart/update" class="row">
<input type="hidden" name="product" value="{id}">
<label class="hidden" for="q-{id}">Quantity of {name}</label>
<input id="q-{id}" name="quantity" type="number" min="0" max="99" value="{quantity}" required>
<button class="plain">Update</button>
<button class="plain" name="remove" value="yes" aria-label="Remove {name}">Remove</button>
</form></td><td class="number">{sum}</td></tr>
"#,
        id = Text(&line.product),
        name = Text(&line.name),
        price = Euro(line.price_cents),
        quantity = line.quantity,
        sum = Euro(line.total_cents().unwrap_or(u32::MAX)),
    )
}

/// Asks for address and card. Who is not signed in is sent there first, and back.
pub(crate) fn checkout(visit: &Visit, problem: Option<&Problem>) -> Page {
    if visit.customer()?.is_none() {
        return Ok(Response::see_other("/sign-in?next=/checkout"));
    }
    let basket = Basket::of(visit)?;
    if basket.lines.is_empty() {
        return Ok(Response::see_other("/cart"));
    }
    let entered = visit.request.form();
    // The same key until the payment is made, so that no mishap makes two of it; a new one after
    // the total has changed, since that is another payment.
    let key = match entered.get("key") {
        key if !key.is_empty() && problem.is_none_or(|problem| problem.status != 409) => {
            key.to_string()
        }
        _ => token::random(),
    };
    let body = format!(
        r#"<section class="narrow"><h1>Check out</h1>
{alert}
<ul class="summary">
{lines}</ul>
<p class="total">Total <strong>{total}</strong></p>
<form method="post" action="/checkout">
<input type="hidden" name="key" value="{key}">
<input type="hidden" name="total" value="{total_cents}">
<label for="address">Where to</label>
<input id="address" name="address" autocomplete="street-address" maxlength="100" value="{address}" required>
<label for="card">Card number</label>
<input id="card" name="card" inputmode="numeric" autocomplete="off" maxlength="23" aria-describedby="card-hint" required>
<p class="hint" id="card-hint">Try 4242 4242 4242 4242, which pays, or 4000 0000 0000 0002, which is declined. Do not enter a real one.</p>
<button>Pay {total}</button>
</form></section>"#,
        alert = alert(problem),
        lines = lines(&basket.lines),
        total = Euro(basket.total_cents),
        total_cents = basket.total_cents,
        key = Text(&key),
        address = Text(entered.get("address")),
    );
    Ok(page(
        visit,
        problem.map_or(200, |problem| problem.status),
        "Check out",
        &body,
    ))
}

/// "2 × Heather honey €18.00", one item each.
pub(super) fn lines(lines: &[Line]) -> String {
    let items = lines.iter().map(|line| {
        format!(
            "<li><span>{} × {}</span> <span>{}</span></li>\n",
            line.quantity,
            Text(&line.name),
            Euro(line.total_cents().unwrap_or(u32::MAX)),
        )
    });
    items.collect()
}
