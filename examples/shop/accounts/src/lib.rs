//! Who the customers are: registration, signing in, sessions. Accounts live in this instance's
//! memory: a crash forgets them. Passwords are kept as Argon2id hashes only.
mod password;

wit_bindgen::generate!({
    path: "../wit/accounts.wit",
    world: "service",
});

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use exports::shop::accounts::customers::{Credentials, Customer, Guest, Problem, Registration};
use password::Password;

/// Accounts and sessions in memory, a few hundred bytes each.
const ACCOUNTS_MAX: usize = 10_000;
const SESSIONS_MAX: usize = 10_000;
const NAME_LENGTH_MAX: usize = 60;
const EMAIL_LENGTH_MAX: usize = 100;
/// Short ones are guessed; very long ones only keep the hash busy.
const PASSWORD_LENGTH: std::ops::RangeInclusive<usize> = 8..=100;

#[derive(Clone, Debug)]
struct Account {
    customer: Customer,
    password: Password,
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

struct Accounts;
export!(Accounts);

impl Guest for Accounts {
    fn register(registration: Registration) -> Result<String, Problem> {
        let email = normal(&registration.email);
        let name = registration.name.trim().to_string();
        if let Some(mistake) = mistake_in(&name, &email, &registration.password) {
            return Err(Problem::Unacceptable(mistake.to_string()));
        }
        REGISTER.with_borrow(|register| register.has_room_for(&email))?;
        let account = Account {
            customer: Customer {
                id: token::random(),
                name,
                email: email.clone(),
            },
            password: Password::hashed(&registration.password),
        };
        REGISTER.with_borrow_mut(|register| {
            register.by_email.insert(email.clone(), account);
            Ok(register.open_session(email))
        })
    }

    /// The same answer for an unknown address and for a wrong password, after the same work: nobody
    /// learns who is a customer.
    fn sign_in(credentials: Credentials) -> Result<String, Problem> {
        let email = normal(&credentials.email);
        let known = REGISTER.with_borrow(|register| register.by_email.get(&email).cloned());
        let matches = match &known {
            Some(account) => account.password.matches(&credentials.password),
            None => {
                Password::hashed(&credentials.password);
                false
            }
        };
        match matches {
            true => Ok(REGISTER.with_borrow_mut(|register| register.open_session(email))),
            false => Err(Problem::WrongCredentials),
        }
    }

    fn who(token: String) -> Result<Option<Customer>, Problem> {
        REGISTER.with_borrow(|register| {
            let email = register.email_by_token.get(&token);
            let account = email.and_then(|email| register.by_email.get(email));
            Ok(account.map(|account| account.customer.clone()))
        })
    }

    fn sign_out(token: String) -> Result<(), Problem> {
        REGISTER.with_borrow_mut(|register| register.sign_out(&token));
        Ok(())
    }
}

impl Register {
    fn has_room_for(&self, email: &str) -> Result<(), Problem> {
        match () {
            () if self.by_email.contains_key(email) => Err(Problem::Taken),
            () if self.by_email.len() >= ACCOUNTS_MAX => Err(Problem::Full),
            () => Ok(()),
        }
    }

    fn open_session(&mut self, email: String) -> String {
        while self.tokens.len() >= SESSIONS_MAX {
            if let Some(oldest) = self.tokens.pop_front() {
                self.email_by_token.remove(&oldest);
            }
        }
        let token = token::random();
        self.email_by_token.insert(token.clone(), email);
        self.tokens.push_back(token.clone());
        token
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
