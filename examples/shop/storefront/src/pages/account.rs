//! Registering and signing in.
use shop_http::{Form, Problem, Response};

use super::layout::{alert, page};
use crate::html::Text;
use crate::visit::Visit;

pub(crate) fn register(visit: &Visit, problem: Option<&Problem>) -> Response {
    let entered = visit.request.form();
    let body = format!(
        r#"<section class="narrow"><h1>Register</h1>
{alert}
<form method="post" action="/register">
<input type="hidden" name="next" value="{next}">
<label for="name">Name</label>
<input id="name" name="name" autocomplete="name" maxlength="60" value="{name}" required>
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="email" maxlength="100" value="{email}" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="8" maxlength="100" aria-describedby="password-hint" required>
<p class="hint" id="password-hint">At least 8 characters. Any address will do: no mail is sent.</p>
<button>Register</button>
</form>
<p>Registered already? <a href="/sign-in?next={next}">Sign in</a></p></section>"#,
        alert = alert(problem),
        next = Text(next(visit, &entered)),
        name = Text(entered.get("name")),
        email = Text(entered.get("email")),
    );
    page(
        visit,
        problem.map_or(200, |problem| problem.status),
        "Register",
        &body,
    )
}

pub(crate) fn sign_in(visit: &Visit, problem: Option<&Problem>) -> Response {
    let entered = visit.request.form();
    let body = format!(
        r#"<section class="narrow"><h1>Sign in</h1>
{alert}
<form method="post" action="/sign-in">
<input type="hidden" name="next" value="{next}">
<label for="email">E-mail address</label>
<input id="email" name="email" type="email" autocomplete="email" maxlength="100" value="{email}" required>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="100" required>
<button>Sign in</button>
</form>
<p>New here? <a href="/register?next={next}">Register</a></p></section>"#,
        alert = alert(problem),
        next = Text(next(visit, &entered)),
        email = Text(entered.get("email")),
    );
    page(
        visit,
        problem.map_or(200, |problem| problem.status),
        "Sign in",
        &body,
    )
}

/// Where the visitor was going, from the form or from the address.
fn next<'a>(visit: &'a Visit, entered: &'a Form) -> &'a str {
    match entered.get("next") {
        "" => visit.request.query.get("next"),
        next => next,
    }
}
