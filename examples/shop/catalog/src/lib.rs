//! What is sold. Products lie in `/data/products.json` and their pictures beside it, in a
//! directory that the manifest grants read-only; a change there is seen at the next request. Other
//! services call it; browsers fetch the pictures.
wit_bindgen::generate!({
    path: "../wit/catalog.wit",
    world: "service",
    additional_derives: [serde::Deserialize],
});

use std::fs;

use exports::shop::catalog::products::{Edition, Guest, GuestEdition, Problem, Product};
use shop_http::{Method, Request, Response};

const PRODUCTS: &str = "/data/products.json";
const PICTURES: &str = "/data/pictures";

struct Catalog;
export!(Catalog);
shop_http::serve!(answer);

impl Guest for Catalog {
    type Edition = Products;

    fn all() -> Result<Vec<Product>, Problem> {
        mishap::perhaps("catalog");
        Ok(Products::read()?.0)
    }

    fn find(id: String) -> Result<Product, Problem> {
        mishap::perhaps("catalog");
        Products::read()?.find(id)
    }

    fn current() -> Result<Edition, Problem> {
        mishap::perhaps("catalog");
        Ok(Edition::new(Products::read()?))
    }
}

/// The products of one reading of the file.
struct Products(Vec<Product>);

impl GuestEdition for Products {
    fn find(&self, id: String) -> Result<Product, Problem> {
        mishap::perhaps("catalog");
        let found = self.0.iter().find(|product| product.id == id);
        found.cloned().ok_or(Problem::NotSold)
    }
}

impl Products {
    fn read() -> Result<Products, Problem> {
        let text = fs::read_to_string(PRODUCTS).map_err(|error| out_of_order(&error))?;
        let products = serde_json::from_str(&text).map_err(|error| out_of_order(&error))?;
        Ok(Products(products))
    }
}

/// The log learns the reason; whoever asked learns that it is not their fault.
fn out_of_order(error: &dyn std::fmt::Display) -> Problem {
    eprintln!("{PRODUCTS}: {error}");
    Problem::OutOfOrder
}

fn answer(request: &Request) -> Response {
    match (request.verb(), request.segments().as_slice()) {
        (Method::Get, ["healthz"]) => match Products::read() {
            Ok(_) => Response::well(),
            Err(problem) => shop_http::Problem::new(500, problem.to_string()).into(),
        },
        (Method::Get, ["pictures", file]) => picture(file).unwrap_or_else(Response::not_found),
        (_, ["healthz"] | ["pictures", _]) => Response::method_not_allowed("GET"),
        _ => Response::not_found(),
    }
}

/// Only pictures of products are served: the name is looked up, not opened as it comes.
fn picture(file: &str) -> Option<Response> {
    let id = file.strip_suffix(".svg")?;
    let product = Products::read().ok()?.find(id.to_string()).ok()?;
    let picture = fs::read(format!("{PICTURES}/{}.svg", product.id)).ok()?;
    let response = Response::new(200, "image/svg+xml", picture);
    Some(response.with("cache-control", "public, max-age=3600"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_products_are_complete_and_have_pictures() {
        let products: Vec<Product> =
            serde_json::from_str(include_str!("../data/products.json")).unwrap();
        assert!(products.len() >= 6);
        for product in products {
            assert!(product.price_cents > 0, "{}", product.id);
            assert!(
                product
                    .id
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
            let picture = format!(
                "{}/data/pictures/{}.svg",
                env!("CARGO_MANIFEST_DIR"),
                product.id
            );
            assert!(
                fs::read_to_string(picture).unwrap().starts_with("<svg"),
                "{}",
                product.id
            );
        }
    }
}
