//! The shop as a person uses it: six services in one process, over HTTP.

use expect_test::expect;

use crate::application::Application;
use crate::browser::{Browser, Page};
use crate::fixture::Host;

/// A card that pays.
pub(crate) const GOOD_CARD: &str = "4242424242424242";

/// The shop as it is, with no mishaps.
pub(crate) fn shop() -> Application {
    Application::of("shop").emptied("mishaps")
}

/// A customer who has signed up.
pub(crate) async fn customer<'a>(host: &'a Host, name: &str) -> Browser<'a> {
    let mut browser = Browser::at(host);
    let who = format!("name={name}&email={name}%40example.com");
    let form = format!("{who}&password=correct-horse-battery&next=/orders");
    let page = browser.post("/register", &form).await;
    page.expect(200, &["Your orders", &format!("Orders of {name}")]);
    browser
}

/// Pays for what is in the cart: the form, and what it is answered with.
pub(crate) async fn pay(browser: &mut Browser<'_>, card: &str) -> (String, Page) {
    let checkout = browser.get("/checkout").await.expect(200, &[]);
    let (key, total) = (checkout.hidden("key"), checkout.hidden("total"));
    let form = format!("key={key}&total={total}&address=1+Heath+Road&card={card}");
    let page = browser.post("/checkout", &form).await;
    (form, page)
}

#[tokio::test]
async fn a_visitor_browses_registers_fills_a_cart_pays_and_sees_the_order() {
    let host = shop().start().await;
    let mut visitor = Browser::at(&host);
    visitor.get("/").await.expect(200, &["Heather honey"]);
    visitor.get("/style.css").await.expect(200, &["{"]);
    let picture = visitor.get("/pictures/heather-honey.svg").await;
    picture.expect(200, &["<svg"]);
    let product = visitor.get("/product/heather-honey").await;
    product.expect(200, &["€9.50"]);
    let unknown = visitor.get("/product/none-such").await;
    unknown.expect(404, &["We do not sell that."]);

    let mut ada = customer(&host, "Ada").await;
    let cart = ada
        .post("/cart/add", "product=heather-honey&quantity=2")
        .await;
    cart.expect(200, &["€19.00"]);
    let cart = ada.post("/cart/add", "product=bee-hotel&quantity=1").await;
    cart.expect(200, &["€53.00"]);
    let cart = ada.post("/cart/add", "product=bee-hotel&quantity=99").await;
    cart.expect(422, &["at most 99"]);
    let cart = ada
        .post("/cart/update", "product=bee-hotel&remove=yes")
        .await;
    cart.expect(200, &["€19.00"]);
    let (_, declined) = pay(&mut ada, "4000000000000002").await;
    declined.expect(402, &["The card was declined"]);
    let (_, mistyped) = pay(&mut ada, "4242").await;
    mistyped.expect(422, &["no card number"]);
    let (_, order) = pay(&mut ada, GOOD_CARD).await;
    order.expect(200, &["Thank you", "Heather honey", "ending in 4242"]);
    ada.get("/cart").await.expect(200, &["empty"]);
    ada.get("/orders").await.expect(200, &["€19.00"]);

    // What every page said was what the services said: none has crashed.
    for row in host.status()["services"].as_array().unwrap() {
        assert_eq!(row["crashes"], 0, "{row}");
    }
    host.assert_no_panic();
}

#[tokio::test]
async fn nobody_sees_what_is_not_theirs_and_markup_stays_text() {
    let host = shop().start().await;
    let mut eve = Browser::at(&host);
    let page = eve
        .post(
            "/register",
            "name=%3Cscript%3Ealert%281%29%3C%2Fscript%3E&email=eve%40example.com&password=correct-horse-battery",
        )
        .await;
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    eve.post("/cart/add", "product=wax-wraps&quantity=1").await;
    let mut ada = customer(&host, "Ada").await;
    ada.get("/cart").await.expect(200, &["empty"]);

    ada.post("/cart/add", "product=heather-honey&quantity=1")
        .await;
    let checkout = ada.get("/checkout").await;
    let (key, total) = (checkout.hidden("key"), checkout.hidden("total"));
    let form = format!("key={key}&total={total}&address=1+Heath+Road&card={GOOD_CARD}");
    let order = ada.ask("POST", "/checkout", &form).await.location.unwrap();
    ada.get(&order).await.expect(200, &["Heather honey"]);
    eve.get(&order).await.expect(404, &[]);
    eve.forget_everything();
    eve.get(&order).await.expect(404, &[]);
    let checkout = eve.get("/checkout").await;
    assert_ne!(checkout.status, 200, "a stranger has no checkout");
}

#[test]
fn its_manifest_is_fine_and_the_outside_reaches_two_of_its_services() {
    let shop = shop();
    let fine = "skep.toml is fine: 6 services (0 of them workers), 3 routes, 5 links, 0 warnings";
    let checked = shop.run(&["check", "--strict", "--no-compile"]).expect(0);
    assert_eq!(checked.stdout, fine);
    let graph = shop.run(&["graph"]).expect(0).stdout;
    let (_, leading) = graph.split_once("routes\n").unwrap();
    expect![[r#"
          / → storefront
          /{*rest} → storefront
          /pictures/{file} → catalog

        links
          storefront → accounts: shop:accounts/customers@1.0.0
          storefront → cart: shop:cart/carts@1.0.0
          storefront → catalog: shop:catalog/products@1.0.0
          storefront → orders: shop:orders/orders@1.0.0
          storefront → payments: shop:payments/payments@1.0.0"#]]
    .assert_eq(leading);
}
