//! What every page has: head, navigation, foot.
use shop_http::{Problem, Response};

use crate::html::Text;
use crate::visit::Visit;

pub(super) fn page(visit: &Visit, status: u16, title: &str, body: &str) -> Response {
    let count = match visit.cart_count() {
        Some(0) => String::new(),
        Some(count) => format!(r#" <span class="count">{count}</span>"#),
        None => r#" <span class="count" title="cannot be reached">?</span>"#.to_string(),
    };
    let page = format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Skep &amp; Comb</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="/pictures/straw-skep.svg">
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<a class="brand" href="/">Skep &amp; Comb</a>
<nav aria-label="Shop">{who}<a href="/cart">Cart{count}</a></nav>
</header>
<main id="main">
{body}
</main>
<footer><p>A demonstration: nothing is sold and no money moves.</p></footer>
</body>
</html>
"##,
        title = Text(title),
        who = who(visit),
    );
    Response::html(status, page)
}

/// A page that says what went wrong and leads back.
pub(crate) fn problem(visit: &Visit, problem: &Problem) -> Response {
    let title = match problem.status {
        404 => "Not found",
        405 | 403 => "That cannot be done",
        503 => "Back in a moment",
        _ => "Something went wrong",
    };
    let body = format!(
        r#"<section class="hero"><h1>{title}</h1>
<p role="alert">{}</p>
<p><a href="/">Back to the shop</a></p></section>"#,
        Text(&problem.text)
    );
    page(visit, problem.status, title, &body)
}

/// A box above a form with what is to be mended.
pub(super) fn alert(problem: Option<&Problem>) -> String {
    problem.map_or_else(String::new, |problem| {
        format!(
            r#"<p class="alert" role="alert">{}</p>"#,
            Text(&problem.text)
        )
    })
}

fn who(visit: &Visit) -> String {
    match visit.customer() {
        Ok(Some(customer)) => format!(
            r#"<a href="/orders">Orders of {}</a>
<form method="post" action="/sign-out"><button class="link">Sign out</button></form>"#,
            Text(&customer.name)
        ),
        Ok(None) => r#"<a href="/sign-in">Sign in</a>"#.to_string(),
        Err(_) => String::new(),
    }
}
