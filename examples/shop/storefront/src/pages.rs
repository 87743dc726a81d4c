//! The pages. Whatever comes from a customer or a service passes through `Text`.
mod account;
mod basket;
mod layout;
mod order;

pub(crate) use account::{register, sign_in};
pub(crate) use basket::{Basket, cart, checkout};
pub(crate) use layout::problem;
pub(crate) use order::{order, orders};

use shop_http::{Problem, Response};

use crate::html::{Euro, Text};
use crate::shop::catalog::products;
use crate::visit::Visit;

type Page = Result<Response, Problem>;

pub(crate) fn home(visit: &Visit) -> Page {
    let mut cards = String::new();
    for product in products::all()? {
        let (id, name) = (Text(&product.id), Text(&product.name));
        cards.push_str(&format!(
            r#"<li class="card"><a href="/product/{id}">
<img src="/pictures/{id}.svg" alt="" width="400" height="300">
<h2>{name}</h2></a>
<p>{summary}</p>
<p class="price">{price} <span class="unit">{unit}</span></p></li>
"#,
            summary = Text(&product.summary),
            price = Euro(product.price_cents),
            unit = Text(&product.unit),
        ));
    }
    let body = format!(
        r#"<section class="hero"><h1>From the hive, and little else</h1>
<p>Honey, wax and things for people who keep bees, from four apiaries between heath and coast.</p>
</section>
<ul class="grid">
{cards}</ul>"#
    );
    Ok(layout::page(visit, 200, "Honey, wax and bees", &body))
}

pub(crate) fn product(visit: &Visit, id: &str) -> Page {
    let product = products::find(id)?;
    let body = format!(
        r#"<article class="product">
<img src="/pictures/{id}.svg" alt="" width="400" height="300">
<div>
<h1>{name}</h1>
<p class="lead">{summary}</p>
<p>{description}</p>
<p class="price">{price} <span class="unit">{unit}</span></p>
<form method="post" action="/cart/add" class="row">
<input type="hidden" name="product" value="{id}">
<label for="quantity">Quantity</label>
<input id="quantity" name="quantity" type="number" min="1" max="99" value="1" required>
<button>Add to cart</button>
</form>
</div>
</article>"#,
        id = Text(&product.id),
        name = Text(&product.name),
        summary = Text(&product.summary),
        description = Text(&product.description),
        price = Euro(product.price_cents),
        unit = Text(&product.unit),
    );
    Ok(layout::page(visit, 200, &product.name, &body))
}
