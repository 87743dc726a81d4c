//! Who is visiting: the request, and what the cookies in it stand for.
use shop_http::{Problem, Request, Response};

use crate::shop::accounts::customers::{self, Customer};
use crate::shop::cart::carts;

const SESSION_COOKIE: &str = "session";
const CART_COOKIE: &str = "cart";
/// What the browser keeps between visits: a month.
const COOKIE_SECONDS: u32 = 30 * 24 * 3600;

pub(crate) struct Visit<'a> {
    pub(crate) request: &'a Request,
}

impl<'a> Visit<'a> {
    pub(crate) fn of(request: &'a Request) -> Visit<'a> {
        Visit { request }
    }

    /// Who is signed in. A token that nobody knows, for example since the accounts were forgotten,
    /// is as good as none.
    pub(crate) fn customer(&self) -> Result<Option<Customer>, Problem> {
        match self.session() {
            Some(token) => Ok(customers::who(token)?),
            None => Ok(None),
        }
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.request
            .cookie(SESSION_COOKIE)
            .filter(|token| token::is_one(token))
    }

    pub(crate) fn cart(&self) -> Option<&str> {
        self.request
            .cookie(CART_COOKIE)
            .filter(|id| token::is_one(id))
    }

    pub(crate) fn cart_or_new(&self) -> String {
        self.cart().map_or_else(token::random, str::to_string)
    }

    /// How many things are in the cart, for the head of every page; nothing where the cart
    /// cannot be asked, since no page should fail for its head.
    pub(crate) fn cart_count(&self) -> Option<u32> {
        let Some(id) = self.cart() else {
            return Some(0);
        };
        let lines = carts::contents(id).ok()?;
        Some(lines.iter().map(|line| line.quantity).sum())
    }

    /// Whether a form on another site has sent this; browsers say so in the header `origin`.
    pub(crate) fn is_from_elsewhere(&self) -> bool {
        let origin = self.request.header("origin");
        origin.is_some_and(|origin| {
            origin
                .split_once("://")
                .is_none_or(|(_, host)| host != self.request.authority)
        })
    }

    pub(crate) fn keep_session(&self, response: Response, token: &str) -> Response {
        self.keep(response, SESSION_COOKIE, token, COOKIE_SECONDS)
    }

    pub(crate) fn forget_session(&self, response: Response) -> Response {
        self.keep(response, SESSION_COOKIE, "", 0)
    }

    pub(crate) fn keep_cart(&self, response: Response, id: &str) -> Response {
        self.keep(response, CART_COOKIE, id, COOKIE_SECONDS)
    }

    /// Scripts cannot read the cookie, and other sites' forms do not carry it.
    fn keep(&self, response: Response, name: &str, value: &str, seconds: u32) -> Response {
        let secure = if self.request.is_https {
            "; Secure"
        } else {
            ""
        };
        let cookie =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        response.with("set-cookie", &cookie)
    }
}
