//! What the forms do. Success answers with a redirect; a mistake shows the form again, with what
//! was entered, but for passwords and card numbers.
use shop_http::{Problem, Response};

use crate::pages::{self, Basket};
use crate::services::NewOrder;
use crate::visit::Visit;

type Page = Result<Response, Problem>;

/// Where signing in may lead, so that no link can send a customer to another site.
const AFTER_SIGN_IN: [&str; 2] = ["/checkout", "/orders"];

pub(crate) fn add_to_cart(visit: &Visit) -> Page {
    let form = visit.request.form();
    let product = visit.services.product(form.get("product"))?;
    let quantity = form.get("quantity").parse().unwrap_or(1);
    let cart = visit.cart_or_new();
    match visit.services.add_to_cart(&cart, &product.id, quantity) {
        Ok(_) => Ok(visit.keep_cart(Response::see_other("/cart"), &cart)),
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
        Ok(quantity) => visit
            .services
            .set_in_cart(cart, form.get("product"), quantity),
        Err(_) => Err(Problem::new(422, "Please give a whole number.")),
    };
    match changed {
        Ok(_) => Ok(Response::see_other("/cart")),
        Err(problem) if problem.status == 422 => pages::cart(visit, Some(&problem)),
        Err(problem) => Err(problem),
    }
}

pub(crate) fn register(visit: &Visit) -> Page {
    let form = visit.request.form();
    let session =
        visit
            .services
            .register(form.get("name"), form.get("email"), form.get("password"));
    match session {
        Ok(session) => Ok(visit.keep_session(Response::see_other(after(visit)), &session.token)),
        Err(problem) if problem.status < 500 => Ok(pages::register(visit, Some(&problem))),
        Err(problem) => Err(problem),
    }
}

pub(crate) fn sign_in(visit: &Visit) -> Page {
    let form = visit.request.form();
    match visit
        .services
        .sign_in(form.get("email"), form.get("password"))
    {
        Ok(session) => Ok(visit.keep_session(Response::see_other(after(visit)), &session.token)),
        Err(problem) if problem.status < 500 => Ok(pages::sign_in(visit, Some(&problem))),
        Err(problem) => Err(problem),
    }
}

/// The cookie goes even where the accounts cannot be reached.
pub(crate) fn sign_out(visit: &Visit) -> Page {
    if let Some(token) = visit.session() {
        // The service has logged why, if it could not.
        let _ = visit.services.sign_out(token);
    }
    Ok(visit.forget_session(Response::see_other("/")))
}

/// Pays, then places the order. Should the second fail, sending the form again pays nothing
/// more, since the form has a key, and the order is placed then.
pub(crate) fn check_out(visit: &Visit) -> Page {
    let form = visit.request.form();
    let (Some(account), Some(cart)) = (visit.account()?, visit.cart()) else {
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
    let payment = visit
        .services
        .pay(form.get("key"), basket.total_cents, form.get("card"));
    let payment = match payment {
        Ok(payment) => payment,
        Err(problem) if problem.status < 500 => return pages::checkout(visit, Some(&problem)),
        Err(problem) => return Err(problem),
    };
    let order = visit.services.place_order(&NewOrder {
        account: &account.id,
        lines: &basket.lines,
        total_cents: basket.total_cents,
        payment: &payment.id,
        card_last4: &payment.card_last4,
        address,
    })?;
    // The order stands; a cart that stays full is a small nuisance, and it was logged.
    let _ = visit.services.empty_cart(cart);
    Ok(Response::see_other(&format!("/order/{}", order.id)))
}

fn after(visit: &Visit) -> &'static str {
    let form = visit.request.form();
    AFTER_SIGN_IN
        .into_iter()
        .find(|path| *path == form.get("next"))
        .unwrap_or("/")
}
