//! Who the customers are: registration, signing in, sessions. Accounts live in this instance's
//! memory: a crash forgets them. Passwords are kept as Argon2id hashes only.
mod password;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use password::Password;
use serde::{Deserialize, Serialize};
use shop_http::{Method, Problem, Request, Response, random_token};

/// Accounts and sessions in memory, a few hundred bytes each.
const ACCOUNTS_MAX: usize = 10_000;
const SESSIONS_MAX: usize = 10_000;
const NAME_LENGTH_MAX: usize = 60;
const EMAIL_LENGTH_MAX: usize = 100;
/// Short ones are guessed; very long ones only keep the hash busy.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=100;

#[derive(Clone, Debug, Serialize)]
struct Account {
    id: String,
    name: String,
    email: String,
    #[serde(skip)]
    password: Password,
}

#[derive(Deserialize)]
struct Registration {
    name: String,
    email: String,
    password: String,
}

#[derive(Deserialize)]
struct SignIn {
    email: String,
    password: String,
}

/// What the storefront keeps in the customer's cookie, and whose it is.
#[derive(Serialize)]
struct Session {
    token: String,
    account: Account,
}

#[derive(Default)]
struct Register {
    by_email: HashMap<String, Account>,
    email_by_token: HashMap<String, String>,
    /// The oldest session first: it goes when there are too many.
    tokens: VecDeque<String>,
}

thread_local! {
    static REGISTER: RefCell<Register> = RefCell::default();
}

shop_http::serve!(answer);

fn answer(request: &Request) -> Response {
    match (request.verb(), request.segments().as_slice()) {
        (Method::Get, ["healthz"]) => Response::well(),
        (Method::Post, ["api", "accounts"]) => request
            .json()
            .and_then(register)
            .map(|session| Response::json(201, &session))
            .into(),
        (Method::Post, ["api", "sessions"]) => request
            .json()
            .and_then(sign_in)
            .map(|session| Response::json(201, &session))
            .into(),
        (Method::Get, ["api", "sessions", token]) => account_of(token)
            .map(|account| Response::json(200, &account))
            .into(),
        (Method::Delete, ["api", "sessions", token]) => {
            REGISTER.with_borrow_mut(|register| register.sign_out(token));
            Response::empty(204)
        }
        (_, ["api", "accounts"] | ["api", "sessions"]) => Response::method_not_allowed("POST"),
        (_, ["api", "sessions", _]) => Response::method_not_allowed("GET, HEAD, DELETE"),
        _ => Response::not_found(),
    }
}

fn register(registration: Registration) -> Result<Session, Problem> {
    let email = normal(&registration.email);
    let name = registration.name.trim().to_string();
    if let Some(mistake) = mistake_in(&name, &email, &registration.password) {
        return Err(Problem::new(422, mistake));
    }
    REGISTER.with_borrow(|register| match () {
        () if register.by_email.contains_key(&email) => Err(Problem::new(
            409,
            "There is an account with this e-mail address already.",
        )),
        () if register.by_email.len() >= ACCOUNTS_MAX => {
            Err(Problem::new(503, "We cannot take more customers today."))
        }
        () => Ok(()),
    })?;
    let password = Password::hashed(&registration.password)?;
    let account = Account {
        id: random_token(),
        name,
        email: email.clone(),
        password,
    };
    REGISTER.with_borrow_mut(|register| {
        register.by_email.insert(email, account.clone());
        Ok(register.open_session(account))
    })
}

/// The same answer for an unknown address and for a wrong password, after the same work: nobody
/// learns who is a customer.
fn sign_in(given: SignIn) -> Result<Session, Problem> {
    let known =
        REGISTER.with_borrow(|register| register.by_email.get(&normal(&given.email)).cloned());
    let matches = match &known {
        Some(account) => account.password.matches(&given.password)?,
        None => Password::hashed(&given.password).map(|_| false)?,
    };
    match known {
        Some(account) if matches => {
            Ok(REGISTER.with_borrow_mut(|register| register.open_session(account)))
        }
        _ => Err(Problem::new(
            401,
            "The e-mail address or the password is wrong.",
        )),
    }
}

fn account_of(token: &str) -> Result<Account, Problem> {
    REGISTER.with_borrow(|register| {
        let email = register.email_by_token.get(token);
        let account = email.and_then(|email| register.by_email.get(email));
        account
            .cloned()
            .ok_or_else(|| Problem::new(404, "There is no such session."))
    })
}

impl Register {
    fn open_session(&mut self, account: Account) -> Session {
        while self.tokens.len() >= SESSIONS_MAX {
            if let Some(oldest) = self.tokens.pop_front() {
                self.email_by_token.remove(&oldest);
            }
        }
        let token = random_token();
        self.email_by_token
            .insert(token.clone(), account.email.clone());
        self.tokens.push_back(token.clone());
        Session { token, account }
    }

    fn sign_out(&mut self, token: &str) {
        if self.email_by_token.remove(token).is_some() {
            self.tokens.retain(|known| known != token);
        }
    }
}

fn normal(email: &str) -> String {
    email.trim().to_lowercase()
}

fn mistake_in(name: &str, email: &str, password: &str) -> Option<&'static str> {
    let looks_like_email = email.split_once('@').is_some_and(|(user, domain)| {
        !user.is_empty() && domain.contains('.') && !email.contains(char::is_whitespace)
    });
    match () {
        () if name.is_empty() || name.len() > NAME_LENGTH_MAX => {
            Some("Please give a name of at most 60 letters.")
        }
        () if !looks_like_email || email.len() > EMAIL_LENGTH_MAX => {
            Some("That does not look like an e-mail address.")
        }
        () if !PASSWORD_LENGTH.contains(&password.len()) => {
            Some("Please choose a password of 8 to 100 characters.")
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_are_checked() {
        let rows = [
            ("Ann", "ann@example.com", "long enough", true),
            ("", "ann@example.com", "long enough", false),
            ("Ann", "ann@example", "long enough", false),
            ("Ann", "@example.com", "long enough", false),
            ("Ann", "a nn@example.com", "long enough", false),
            ("Ann", "ann@example.com", "short", false),
        ];
        for (name, email, password, good) in rows {
            assert_eq!(
                mistake_in(name, email, password).is_none(),
                good,
                "{name} {email} {password}"
            );
        }
    }
}
