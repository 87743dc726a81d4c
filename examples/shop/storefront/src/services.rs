//! The other services, as the pages see them: what each of their problems is in terms of HTTP, and
//! in words for the customer. That a service cannot be reached is told as what cannot be done just
//! now; the host's reason goes to the log.
use shop_http::Problem;

use crate::shop::accounts::customers;
use crate::shop::cart::carts;
use crate::shop::catalog::products;
use crate::shop::orders::orders;
use crate::shop::payments::payments;

impl From<customers::Problem> for Problem {
    fn from(problem: customers::Problem) -> Problem {
        match problem {
            customers::Problem::Unacceptable(text) => Problem::new(422, text),
            customers::Problem::Taken => {
                Problem::new(409, "There is an account with this e-mail address already.")
            }
            customers::Problem::WrongCredentials => {
                Problem::new(401, "The e-mail address or the password is wrong.")
            }
            customers::Problem::Full => Problem::new(503, "We cannot take more customers today."),
            customers::Problem::Unavailable(cause) => unavailable(
                &cause,
                "Your account cannot be reached just now. Please try again in a moment.",
            ),
        }
    }
}

impl From<carts::Problem> for Problem {
    fn from(problem: carts::Problem) -> Problem {
        match problem {
            carts::Problem::NoCart => Problem::new(404, "There is no such cart."),
            carts::Problem::NoProduct => Problem::new(422, "That is no product."),
            carts::Problem::TooMany(most) => {
                Problem::new(422, format!("We sell at most {most} of a product at once."))
            }
            carts::Problem::TooManyLines(most) => {
                Problem::new(422, format!("A cart holds {most} different products."))
            }
            carts::Problem::Full => {
                Problem::new(503, "All our carts are taken; please come back later.")
            }
            carts::Problem::Unavailable(cause) => unavailable(
                &cause,
                "Your cart cannot be reached just now. Please try again in a moment.",
            ),
        }
    }
}

impl From<products::Problem> for Problem {
    fn from(problem: products::Problem) -> Problem {
        match problem {
            products::Problem::NotSold => Problem::new(404, "We do not sell that."),
            products::Problem::OutOfOrder => {
                Problem::new(503, "The catalog is out of order. Please come back later.")
            }
            products::Problem::Unavailable(cause) => unavailable(
                &cause,
                "The catalog cannot be reached just now. Please try again in a moment.",
            ),
        }
    }
}

impl From<payments::Problem> for Problem {
    fn from(problem: payments::Problem) -> Problem {
        match problem {
            payments::Problem::BadKey => Problem::new(422, "Please check out anew."),
            payments::Problem::BadAmount => Problem::new(422, "That is no amount we could take."),
            payments::Problem::BadCard => {
                Problem::new(422, "That is no card number; is a digit wrong?")
            }
            payments::Problem::Declined => {
                Problem::new(402, "The card was declined; you have not been charged.")
            }
            payments::Problem::KeyUsed => {
                Problem::new(409, "This payment was made with another amount.")
            }
            payments::Problem::Full => {
                Problem::new(503, "The bank is busy; you have not been charged.")
            }
            payments::Problem::Unavailable(cause) => unavailable(
                &cause,
                "Payment is unavailable just now. Please try again: you will not be charged twice.",
            ),
        }
    }
}

impl From<orders::Problem> for Problem {
    fn from(problem: orders::Problem) -> Problem {
        match problem {
            orders::Problem::Unacceptable(why) => {
                eprintln!("the order was not taken: {why}");
                Problem::new(500, "We could not make an order of that.")
            }
            orders::Problem::Full => Problem::new(503, "We cannot take more orders today."),
            orders::Problem::Unavailable(cause) => unavailable(
                &cause,
                "Your orders cannot be reached just now. Please try again in a moment.",
            ),
        }
    }
}

fn unavailable(cause: &str, text: &str) -> Problem {
    eprintln!("{cause}");
    Problem::new(503, text)
}
