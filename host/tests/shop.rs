//! The shop of `examples/shop`, as a person uses it: six services in one process, over HTTP.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A browser has no more patience either; hashing a password takes a while on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Shop {
    host: Child,
    address: String,
    cookies: BTreeMap<String, String>,
}

struct Page {
    status: u16,
    location: Option<String>,
    text: String,
}

impl Shop {
    fn open() -> Shop {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop/skep.toml");
        let built = manifest.with_file_name("target/wasm32-wasip2/release/storefront.wasm");
        assert!(built.exists(), "run `cargo xtask guests` first");
        let mut host = Command::new(env!("CARGO_BIN_EXE_skep"))
            .args(["run", "--listen", "127.0.0.1:0"])
            .arg(&manifest)
            .env(
                "SKEP_CACHE",
                PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("shop-cache"),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut stderr = BufReader::new(host.stderr.take().unwrap());
        while !first.starts_with("http://") {
            first.clear();
            assert!(
                stderr.read_line(&mut first).unwrap() > 0,
                "the host has ended"
            );
        }
        let address = first.trim().trim_start_matches("http://").to_owned();
        Shop {
            host,
            address,
            cookies: BTreeMap::new(),
        }
    }

    fn get(&mut self, path: &str) -> Page {
        self.ask("GET", path, "")
    }

    /// Sends a form, and follows the redirect that answers it.
    fn post(&mut self, path: &str, form: &str) -> Page {
        let page = self.ask("POST", path, form);
        match page.location.clone() {
            Some(to) if page.status == 303 => self.get(&to),
            _ => page,
        }
    }

    fn ask(&mut self, method: &str, path: &str, form: &str) -> Page {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let (host, length, cookies) = (&self.address, form.len(), cookies.join("; "));
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncookie: {cookies}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{form}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        let mut location = None;
        for line in head.lines() {
            let Some((name, value)) = line.split_once(": ") else {
                continue;
            };
            if name.eq_ignore_ascii_case("location") {
                location = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("set-cookie") {
                let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Page {
            status,
            location,
            text: text.to_owned(),
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

/// The value of a hidden field of a form.
fn hidden(page: &Page, name: &str) -> String {
    let field = format!("name=\"{name}\" value=\"");
    let at = page
        .text
        .find(&field)
        .unwrap_or_else(|| panic!("no {name} in {}", page.text));
    let value = &page.text[at + field.len()..];
    value[..value.find('"').unwrap()].to_owned()
}

#[test]
fn a_visitor_browses_registers_fills_a_cart_pays_and_sees_the_order() {
    let mut shop = Shop::open();
    let home = shop.get("/");
    assert_eq!(home.status, 200);
    assert!(home.text.contains("Heather honey"), "{}", home.text);
    assert!(shop.get("/style.css").text.contains("{"));
    assert!(shop.get("/product/heather-honey").text.contains("€9.50"));
    assert_eq!(shop.get("/product/none-such").status, 404);

    let signed_up = shop.post(
        "/register",
        "name=Ada&email=ada%40example.com&password=correct-horse-battery",
    );
    assert_eq!(signed_up.status, 200, "{}", signed_up.text);
    let cart = shop.post("/cart/add", "product=heather-honey&quantity=2");
    assert!(cart.text.contains("€19.00"), "{}", cart.text);

    let checkout = shop.get("/checkout");
    let (key, total) = (hidden(&checkout, "key"), hidden(&checkout, "total"));
    let form = |card: &str| format!("key={key}&total={total}&address=1+Heath+Road&card={card}");
    let order = shop.post("/checkout", &form("4242424242424242"));
    assert_eq!(order.status, 200, "{}", order.text);
    assert!(order.text.contains("Heather honey"), "{}", order.text);
    assert!(shop.get("/cart").text.contains("empty"));
}

#[test]
fn nobody_sees_what_is_not_theirs_and_markup_stays_text() {
    let mut shop = Shop::open();
    let page = shop.post(
        "/register",
        "name=%3Cscript%3Ealert%281%29%3C%2Fscript%3E&email=eve%40example.com&password=correct-horse-battery",
    );
    assert!(!page.text.contains("<script>alert"), "{}", page.text);
    shop.cookies.clear();
    let checkout = shop.get("/checkout");
    assert_ne!(checkout.status, 200, "a stranger has no checkout");
}
