//! The shop while one of its services fails: those who need it say so, the others know nothing of it.

use std::path::PathBuf;

use crate::browser::{Browser, Page};
use crate::fixture::{Host, eventually};
use crate::shop::{GOOD_CARD, customer, pay, shop};

const TRY_AGAIN: &str = "Payment is unavailable just now. Please try again";

/// What is to go wrong in a service from now on.
fn mishap(host: &Host, service: &str, what: &str) {
    std::fs::write(of(host, service), what).unwrap();
}

/// From now on all is well.
fn mend(host: &Host, service: &str) {
    std::fs::remove_file(of(host, service)).unwrap();
}

fn of(host: &Host, service: &str) -> PathBuf {
    host.directory().join("mishaps").join(service)
}

/// These have neither lost an instance nor been started again.
#[track_caller]
fn assert_unharmed(host: &Host, services: &[&str]) {
    for service in services {
        let row = host.row(service);
        assert_eq!(row["crashes"], 0, "{row}");
        assert_eq!(row["restarts"], 0, "{row}");
        assert_eq!(row["phase"]["name"], "ready", "{row}");
    }
}

/// Everything that works without the payments: for a customer with something in the cart.
async fn goes_on_shopping(customer: &mut Browser<'_>) {
    customer
        .get("/")
        .await
        .expect(200, &["Heather honey", "Orders of"]);
    customer
        .get("/product/straw-skep")
        .await
        .expect(200, &["€89.00"]);
    let added = customer
        .post("/cart/add", "product=straw-skep&quantity=1")
        .await;
    added.expect(200, &["Straw skep"]);
    let removed = customer
        .post("/cart/update", "product=straw-skep&remove=yes")
        .await;
    removed.expect(200, &["Heather honey"]);
    customer.get("/orders").await.expect(200, &["Your orders"]);
    customer
        .get("/checkout")
        .await
        .expect(200, &["Card number"]);
}

/// Sends the form again until it is taken.
async fn in_the_end(customer: &mut Browser<'_>, form: &str) -> Page {
    eventually("an order", async || {
        let page = customer.post("/checkout", form).await;
        (page.status == 200).then_some(page)
    })
    .await
}

#[tokio::test]
async fn a_payment_that_crashes_is_told_and_can_be_made_again() {
    let host = shop().start().await;
    let mut ada = customer(&host, "Ada").await;
    let mut bob = customer(&host, "Bob").await;
    mishap(&host, "payments", "crash every 3");
    for _ in 0..2 {
        ada.post("/cart/add", "product=heather-honey&quantity=2")
            .await;
        let (_, order) = pay(&mut ada, GOOD_CARD).await;
        order.expect(200, &["Thank you"]);
    }
    ada.post("/cart/add", "product=heather-honey&quantity=2")
        .await;
    let (form, failed) = pay(&mut ada, GOOD_CARD).await;
    let failed = failed.expect(503, &[TRY_AGAIN, "Card number", "1 Heath Road"]);
    // The form is there to be sent again, under the same key, and has forgotten the card.
    assert!(form.contains(&failed.hidden("key")), "{form}");
    assert!(!failed.text.contains(GOOD_CARD));
    ada.get("/cart").await.expect(200, &["€19.00"]);
    bob.post("/cart/add", "product=heather-honey&quantity=1")
        .await;
    goes_on_shopping(&mut bob).await;
    in_the_end(&mut ada, &form)
        .await
        .expect(200, &["Thank you"]);

    host.until("payments", "a crash", |row| row["crashes"] == 1)
        .await;
    assert_unharmed(
        &host,
        &["storefront", "accounts", "cart", "catalog", "orders"],
    );
    let crashes = host.crashes("payments");
    let request = &crashes[0]["crashes"][0]["requests"][0];
    assert_eq!(request["method"], "call by storefront", "{crashes}");
    // The page of the failure is one that the storefront made, and no failure of the host's.
    let line = host
        .logged("the answer", |line| line["status"] == 503)
        .await;
    assert_eq!(line["outcome"], "ok", "{line}");
    host.assert_no_panic();
}

#[tokio::test]
async fn while_the_payments_are_parked_everything_else_works() {
    let host = shop()
        .with(
            "restart   = { when = \"on-failure\", max = 3, within = \"1m\", backoff = \"500ms..30s\" }",
            "restart   = { when = \"never\", max = 1 }",
        )
        .start()
        .await;
    let mut ada = customer(&host, "Ada").await;
    ada.post("/cart/add", "product=heather-honey&quantity=2")
        .await;
    mishap(&host, "payments", "crash");
    let (form, _) = pay(&mut ada, GOOD_CARD).await;
    eventually("parked", async || {
        ada.post("/checkout", &form).await.expect(503, &[TRY_AGAIN]);
        (host.row("payments")["phase"]["name"] == "parked").then_some(())
    })
    .await;
    ada.post("/checkout", &form).await.expect(503, &[TRY_AGAIN]);
    goes_on_shopping(&mut ada).await;
    assert_unharmed(
        &host,
        &["storefront", "accounts", "cart", "catalog", "orders"],
    );

    mend(&host, "payments");
    host.restart("payments");
    in_the_end(&mut ada, &form)
        .await
        .expect(200, &["Thank you"]);
    ada.get("/orders").await.expect(200, &["€19.00"]);
}

#[tokio::test]
async fn a_payment_that_hangs_is_given_up_in_time() {
    let host = shop()
        .with("deadline = \"3s\"", "deadline = \"300ms\"")
        .start()
        .await;
    let mut ada = customer(&host, "Ada").await;
    ada.post("/cart/add", "product=heather-honey&quantity=2")
        .await;
    mishap(&host, "payments", "hang");
    let (form, failed) = pay(&mut ada, GOOD_CARD).await;
    failed.expect(503, &[TRY_AGAIN]);
    goes_on_shopping(&mut ada).await;
    mend(&host, "payments");
    in_the_end(&mut ada, &form)
        .await
        .expect(200, &["Thank you"]);
    assert_unharmed(
        &host,
        &["storefront", "accounts", "cart", "catalog", "orders"],
    );
}

#[tokio::test]
async fn a_catalog_that_crashes_in_the_middle_takes_down_what_needs_it_and_no_more() {
    let host = shop().start().await;
    let mut ada = customer(&host, "Ada").await;
    ada.post("/cart/add", "product=heather-honey&quantity=2")
        .await;
    let (_, order) = pay(&mut ada, GOOD_CARD).await;
    order.expect(200, &["Thank you"]);
    ada.post("/cart/add", "product=heather-honey&quantity=2")
        .await;
    ada.post("/cart/add", "product=wax-wraps&quantity=1").await;

    // In the midst of a page: the edition of the catalog that it holds is gone with its instance.
    mishap(&host, "catalog", "crash every 2");
    let unreachable = "The catalog cannot be reached just now";
    ada.get("/cart").await.expect(503, &[unreachable]);
    mishap(&host, "catalog", "crash");
    for path in ["/", "/product/straw-skep", "/cart", "/checkout"] {
        // The head of the page has what the others know.
        let page = ada.get(path).await;
        page.expect(
            503,
            &[
                unreachable,
                "Orders of Ada",
                "<span class=\"count\">3</span>",
            ],
        );
    }
    ada.get("/orders").await.expect(200, &["€19.00"]);
    let changed = ada
        .ask("POST", "/cart/update", "product=wax-wraps&quantity=3")
        .await;
    assert_eq!(changed.status, 303, "{}", changed.text);
    // New customers are welcome.
    customer(&host, "Bob").await;
    assert_unharmed(
        &host,
        &["storefront", "accounts", "cart", "payments", "orders"],
    );

    mend(&host, "catalog");
    let cart = eventually("the catalog", async || {
        let page = ada.get("/cart").await;
        (page.status == 200).then_some(page)
    });
    cart.await.expect(200, &["€19.00", "€49.50", "€68.50"]);
    host.assert_no_panic();
}
