//! The pages of the shop. This service renders HTML and keeps nothing: for what it shows it calls
//! the other services, at every request. Every form is answered with a redirect, so that going
//! back and reloading repeat nothing.
mod actions;
mod html;
mod pages;
mod services;
mod visit;

wit_bindgen::generate!({
    path: [
        "../wit/accounts.wit",
        "../wit/cart.wit",
        "../wit/catalog.wit",
        "../wit/orders.wit",
        "../wit/payments.wit",
        "../wit/storefront.wit",
    ],
    world: "shop:storefront/service",
    generate_all,
});

use shop_http::{Method, Problem, Request, Response};
use visit::Visit;

const STYLE: &str = include_str!("style.css");

shop_http::serve!(answer);

fn answer(request: &Request) -> Response {
    let path = request.segments();
    match (request.verb(), path.as_slice()) {
        (Method::Get, ["healthz"]) => Response::well(),
        (Method::Get, ["style.css"]) => Response::new(200, "text/css; charset=utf-8", STYLE)
            .with("cache-control", "public, max-age=300"),
        (Method::Get | Method::Post, _) => page(&Visit::of(request), path.as_slice()),
        _ => Response::method_not_allowed("GET, HEAD, POST"),
    }
}

fn page(visit: &Visit, path: &[&str]) -> Response {
    let result = match (visit.request.verb(), path) {
        (Method::Post, _) if visit.is_from_elsewhere() => {
            Err(Problem::new(403, "This form was sent from another site."))
        }
        (Method::Get, []) => pages::home(visit),
        (Method::Get, ["product", id]) => pages::product(visit, id),
        (Method::Get, ["cart"]) => pages::cart(visit, None),
        (Method::Post, ["cart", "add"]) => actions::add_to_cart(visit),
        (Method::Post, ["cart", "update"]) => actions::update_cart(visit),
        (Method::Get, ["register"]) => Ok(pages::register(visit, None)),
        (Method::Post, ["register"]) => actions::register(visit),
        (Method::Get, ["sign-in"]) => Ok(pages::sign_in(visit, None)),
        (Method::Post, ["sign-in"]) => actions::sign_in(visit),
        (Method::Post, ["sign-out"]) => actions::sign_out(visit),
        (Method::Get, ["checkout"]) => pages::checkout(visit, None),
        (Method::Post, ["checkout"]) => actions::check_out(visit),
        (Method::Get, ["orders"]) => pages::orders(visit),
        (Method::Get, ["order", id]) => pages::order(visit, id),
        (Method::Post, _) => Err(Problem::new(405, "Nothing can be sent to this address.")),
        _ => Err(Problem::new(404, "There is no page at this address.")),
    };
    let response = result.unwrap_or_else(|problem| pages::problem(visit, &problem));
    let response = match response.status {
        405 => response.with("allow", "GET, HEAD"),
        _ => response,
    };
    // The pages need a style sheet, pictures and forms of their own, and nothing else.
    response
        .with(
            "content-security-policy",
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        )
        .with("x-content-type-options", "nosniff")
        .with("referrer-policy", "same-origin")
        .with("cache-control", "no-store")
}
