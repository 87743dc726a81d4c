//! What the forms do. Success answers with a redirect; a mistake shows the form again, with what
//! was entered, but for passwords and card numbers.
use shop_http::{Problem, Response};

use crate::pages::{self, Basket};
use crate::shop::accounts::customers::{self, Credentials, Registration};
use crate::shop::cart::carts;
use crate::shop::catalog::products;
use crate::shop::orders::orders::{self, Purchase};
use crate::shop::payments::payments::{self, Demand};
use crate::visit::Visit;

type Page = Result<Response, Problem>;

/// Where signing in may lead, so that no link can send a customer to another site.
const AFTER_SIGN_IN: [&str; 2] = ["/checkout", "/orders"];

pub(crate) fn add_to_cart(visit: &Visit) -> Page {
    let form = visit.request.form();
    let product = products::find(form.get("product"))?;
    let quantity = form.get("quantity").parse().unwrap_or(1);
    let cart = visit.cart_or_new();
    match carts::add(&cart, &product.id, quantity).map_err(Problem::from) {
        Ok(()) => Ok(visit.keep_cart(Response::see_other("/cart"), &cart)),
        Err(problem) if problem.status == 422 => pages::cart(visit, Some(&problem)),
        Err(problem) => Err(problem),
    }
}

/// Sets a quantity; the button "Remove" sends 0.
pub(crate) fn update_cart(visit: &Visit) -> Page {
    let form = visit.request.form();
    let Some(cart) = visit.cart() else {
        return Ok(Response::see_other("/cart"));
    };
    let quantity = match form.get("remove") {
        "" => form.get("quantity").parse(),
        _ => Ok(0),
    };
    let changed = match quantity {
        Ok(quantity) => carts::set(cart, form.get("product"), quantity).map_err(Problem::from),
        Err(_) => Err(Problem::new(422, "Please give a whole number.")),
    };
    match changed {
        Ok(()) => Ok(Response::see_other("/cart")),
        Err(problem) if problem.status == 422 => pages::cart(visit, Some(&problem)),
        Err(problem) => Err(problem),
    }
}

pub(crate) fn register(visit: &Visit) -> Page {
    let form = visit.request.form();
    let token = customers::register(&Registration {
        name: form.get("name").to_string(),
        email: form.get("email").to_string(),
        password: form.get("password").to_string(),
    });
    match token.map_err(Problem::from) {
        Ok(token) => Ok(visit.keep_session(Response::see_other(after(visit)), &token)),
        Err(problem) if problem.status < 500 => Ok(pages::register(visit, Some(&problem))),
        Err(problem) => Err(problem),
    }
}

pub(crate) fn sign_in(visit: &Visit) -> Page {
    let form = visit.request.form();
    let token = customers::sign_in(&Credentials {
        email: form.get("email").to_string(),
        password: form.get("password").to_string(),
    });
    match token.map_err(Problem::from) {
        Ok(token) => Ok(visit.keep_session(Response::see_other(after(visit)), &token)),
        Err(problem) if problem.status < 500 => Ok(pages::sign_in(visit, Some(&problem))),
        Err(problem) => Err(problem),
    }
}

/// The cookie goes even where the accounts cannot be reached.
pub(crate) fn sign_out(visit: &Visit) -> Page {
    if let Some(token) = visit.session()
        && let Err(problem) = customers::sign_out(token)
    {
        eprintln!("the session of who has signed out lives on: {problem}");
    }
    Ok(visit.forget_session(Response::see_other("/")))
}

/// Pays, then places the order. Should either fail, the customer sends the form again: it has a key,
/// so that nothing is paid twice, and a payment buys one order.
pub(crate) fn check_out(visit: &Visit) -> Page {
    let form = visit.request.form();
    let (Some(customer), Some(cart)) = (visit.customer()?, visit.cart()) else {
        return Ok(Response::see_other("/checkout"));
    };
    let basket = Basket::of(visit)?;
    let address = form.get("address");
    let problem = match () {
        () if basket.lines.is_empty() => return Ok(Response::see_other("/cart")),
        () if form.get("total") != basket.total_cents.to_string() => Some(Problem::new(
            409,
            "Your cart or a price has changed meanwhile. Please look at the total again.",
        )),
        () if address.is_empty() || address.len() > 100 => Some(Problem::new(
            422,
            "Please give an address of at most 100 letters.",
        )),
        () => None,
    };
    if let Some(problem) = problem {
        return pages::checkout(visit, Some(&problem));
    }
    let payment = payments::pay(&Demand {
        key: form.get("key").to_string(),
        amount_cents: basket.total_cents,
        card_number: form.get("card").to_string(),
    });
    let payment = match payment.map_err(Problem::from) {
        Ok(payment) => payment,
        Err(problem) => return pages::checkout(visit, Some(&problem)),
    };
    let order = orders::place(&Purchase {
        customer: customer.id,
        lines: basket.lines,
        total_cents: basket.total_cents,
        payment: payment.id,
        card_last4: payment.card_last4,
        address: address.to_string(),
    });
    let order = match order.map_err(Problem::from) {
        Ok(order) => order,
        Err(problem) => return pages::checkout(visit, Some(&problem)),
    };
    // The order stands; a cart that stays full is a small nuisance.
    if let Err(problem) = carts::empty(cart) {
        eprintln!("a cart stays full: {problem}");
    }
    Ok(Response::see_other(&format!("/order/{}", order.id)))
}

fn after(visit: &Visit) -> &'static str {
    let form = visit.request.form();
    AFTER_SIGN_IN
        .into_iter()
        .find(|path| *path == form.get("next"))
        .unwrap_or("/")
}
