//! What is sold. Products lie in `/data/products.json` and their pictures beside it, in a
//! directory that the manifest grants read-only; a change there is seen at the next request.
use std::fs;

use serde::{Deserialize, Serialize};
use shop_http::{Method, Problem, Request, Response};

const PRODUCTS: &str = "/data/products.json";
const PICTURES: &str = "/data/pictures";

#[derive(Deserialize, Serialize)]
struct Product {
    /// Stands in addresses: lower-case letters, digits and hyphens.
    id: String,
    name: String,
    /// One line for lists.
    summary: String,
    description: String,
    price_cents: u32,
    /// How much one gets for it: "340 g".
    unit: String,
}

shop_http::serve!(answer);

fn answer(request: &Request) -> Response {
    match (request.verb(), request.segments().as_slice()) {
        (Method::Get, ["healthz"]) => products().map(|_| Response::well()).into(),
        (Method::Get, ["api", "catalog", "products"]) => products()
            .map(|products| Response::json(200, &products))
            .into(),
        (Method::Get, ["api", "catalog", "products", id]) => product(id)
            .map(|product| Response::json(200, &product))
            .into(),
        (Method::Get, ["pictures", file]) => picture(file).into(),
        (_, ["healthz"] | ["pictures", _] | ["api", "catalog", ..]) => {
            Response::method_not_allowed("GET")
        }
        _ => Response::not_found(),
    }
}

fn products() -> Result<Vec<Product>, Problem> {
    let text = fs::read_to_string(PRODUCTS).map_err(|error| out_of_order(&error))?;
    serde_json::from_str(&text).map_err(|error| out_of_order(&error))
}

fn product(id: &str) -> Result<Product, Problem> {
    let found = products()?.into_iter().find(|product| product.id == id);
    found.ok_or_else(|| Problem::new(404, "We do not sell that."))
}

/// Only pictures of products are served: the name is looked up, not opened as it comes.
fn picture(file: &str) -> Result<Response, Problem> {
    let unknown = || Problem::new(404, "There is no such picture.");
    let id = file.strip_suffix(".svg").ok_or_else(unknown)?;
    let product = product(id)?;
    let path = format!("{PICTURES}/{}.svg", product.id);
    let picture = fs::read(path).map_err(|_| unknown())?;
    let response = Response::new(200, "image/svg+xml", picture);
    Ok(response.with("cache-control", "public, max-age=3600"))
}

/// The log learns the reason; the customer learns that it is not their fault.
fn out_of_order(error: &dyn std::fmt::Display) -> Problem {
    eprintln!("{PRODUCTS}: {error}");
    Problem::new(500, "The catalog is out of order.")
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
