//! The other services, as the pages see them: one function for each question that a page asks.
//! A refusal is the customer's affair and passes through; a failure is told as what cannot be
//! done just now, and its cause goes to the log.
use serde::{Deserialize, Serialize};
use shop_http::{CallError, Client, Problem, encoded};

type Answer<T> = Result<T, Problem>;

#[derive(Deserialize)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) description: String,
    pub(crate) price_cents: u32,
    pub(crate) unit: String,
}

#[derive(Deserialize)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Deserialize)]
pub(crate) struct Session {
    pub(crate) token: String,
}

#[derive(Default, Deserialize)]
pub(crate) struct Cart {
    pub(crate) lines: Vec<CartLine>,
}

#[derive(Deserialize)]
pub(crate) struct CartLine {
    pub(crate) product: String,
    pub(crate) quantity: u32,
}

#[derive(Deserialize)]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) card_last4: String,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct OrderLine {
    pub(crate) product: String,
    pub(crate) name: String,
    pub(crate) quantity: u32,
    pub(crate) price_cents: u32,
}

#[derive(Serialize)]
pub(crate) struct NewOrder<'a> {
    pub(crate) account: &'a str,
    pub(crate) lines: &'a [OrderLine],
    pub(crate) total_cents: u32,
    pub(crate) payment: &'a str,
    pub(crate) card_last4: &'a str,
    pub(crate) address: &'a str,
}

#[derive(Deserialize)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) placed_at: u64,
    pub(crate) account: String,
    pub(crate) lines: Vec<OrderLine>,
    pub(crate) total_cents: u32,
    pub(crate) card_last4: String,
    pub(crate) address: String,
}

#[derive(Serialize)]
struct Registration<'a> {
    name: &'a str,
    email: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct SignIn<'a> {
    email: &'a str,
    password: &'a str,
}

#[derive(Serialize)]
struct Quantity {
    quantity: u32,
}

#[derive(Serialize)]
struct Demand<'a> {
    key: &'a str,
    amount_cents: u32,
    card_number: &'a str,
}

pub(crate) struct Services(pub(crate) Client);

impl Services {
    pub(crate) fn products(&self) -> Answer<Vec<Product>> {
        self.0
            .get("/api/catalog/products")
            .map_err(told("The catalog"))
    }

    pub(crate) fn product(&self, id: &str) -> Answer<Product> {
        let path = format!("/api/catalog/products/{}", encoded(id));
        self.0.get(&path).map_err(told("The catalog"))
    }

    pub(crate) fn cart(&self, cart: &str) -> Answer<Cart> {
        self.0
            .get(&format!("/api/carts/{cart}"))
            .map_err(told("Your cart"))
    }

    pub(crate) fn add_to_cart(&self, cart: &str, product: &str, quantity: u32) -> Answer<Cart> {
        let path = format!("/api/carts/{cart}/{}", encoded(product));
        self.0
            .post(&path, &Quantity { quantity })
            .map_err(told("Your cart"))
    }

    pub(crate) fn set_in_cart(&self, cart: &str, product: &str, quantity: u32) -> Answer<Cart> {
        let path = format!("/api/carts/{cart}/{}", encoded(product));
        self.0
            .put(&path, &Quantity { quantity })
            .map_err(told("Your cart"))
    }

    pub(crate) fn empty_cart(&self, cart: &str) -> Answer<()> {
        self.0
            .delete(&format!("/api/carts/{cart}"))
            .map_err(told("Your cart"))
    }

    pub(crate) fn account(&self, token: &str) -> Answer<Account> {
        let path = format!("/api/sessions/{}", encoded(token));
        self.0.get(&path).map_err(told("Your account"))
    }

    pub(crate) fn register(&self, name: &str, email: &str, password: &str) -> Answer<Session> {
        let body = Registration {
            name,
            email,
            password,
        };
        self.0
            .post("/api/accounts", &body)
            .map_err(told("Registration"))
    }

    pub(crate) fn sign_in(&self, email: &str, password: &str) -> Answer<Session> {
        self.0
            .post("/api/sessions", &SignIn { email, password })
            .map_err(told("Signing in"))
    }

    pub(crate) fn sign_out(&self, token: &str) -> Answer<()> {
        self.0
            .delete(&format!("/api/sessions/{}", encoded(token)))
            .map_err(told("Signing out"))
    }

    pub(crate) fn pay(&self, key: &str, amount_cents: u32, card_number: &str) -> Answer<Payment> {
        let body = Demand {
            key,
            amount_cents,
            card_number,
        };
        self.0.post("/api/payments", &body).map_err(told("Payment"))
    }

    pub(crate) fn place_order(&self, order: &NewOrder) -> Answer<Order> {
        self.0.post("/api/orders", order).map_err(told("Ordering"))
    }

    pub(crate) fn order(&self, id: &str) -> Answer<Order> {
        self.0
            .get(&format!("/api/orders/{}", encoded(id)))
            .map_err(told("Your order"))
    }

    pub(crate) fn orders(&self, account: &str) -> Answer<Vec<Order>> {
        let path = format!("/api/orders?account={}", encoded(account));
        self.0.get(&path).map_err(told("Your orders"))
    }
}

fn told(what: &'static str) -> impl Fn(CallError) -> Problem {
    move |error| match error {
        CallError::Refused(problem) => problem,
        CallError::Failed(cause) => {
            eprintln!("{cause}");
            let text = format!("{what} cannot be reached just now. Please try again in a moment.");
            Problem::new(503, text)
        }
    }
}
