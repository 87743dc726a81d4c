//! Takes the money, or says why not. A pretended bank: 4242 4242 4242 4242 pays, a card ending
//! in 0002 is declined. A payment is asked for under a key; asking again under the same key
//! gives the same answer and takes no second payment. Card numbers are neither kept nor logged.
use std::cell::RefCell;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use shop_http::{Method, Problem, Request, Response, random_token};

/// Answers remembered, a few hundred bytes each.
const PAYMENTS_MAX: usize = 10_000;
const KEY_LENGTH_MAX: usize = 64;
const AMOUNT_MAX_CENTS: u32 = 1_000_000;

#[derive(Deserialize)]
struct Demand {
    key: String,
    amount_cents: u32,
    card_number: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Payment {
    id: String,
    amount_cents: u32,
    card_last4: String,
}

thread_local! {
    static BY_KEY: RefCell<HashMap<String, Payment>> = RefCell::default();
}

shop_http::serve!(answer);

fn answer(request: &Request) -> Response {
    match (request.verb(), request.segments().as_slice()) {
        (Method::Get, ["healthz"]) => Response::well(),
        (Method::Post, ["api", "payments"]) => request
            .json()
            .and_then(pay)
            .map(|payment| Response::json(201, &payment))
            .into(),
        (_, ["api", "payments"]) => Response::method_not_allowed("POST"),
        _ => Response::not_found(),
    }
}

fn pay(demand: Demand) -> Result<Payment, Problem> {
    if demand.key.is_empty() || demand.key.len() > KEY_LENGTH_MAX {
        return Err(Problem::new(
            422,
            "A payment needs a key of 1 to 64 characters.",
        ));
    }
    if demand.amount_cents == 0 || demand.amount_cents > AMOUNT_MAX_CENTS {
        return Err(Problem::new(422, "That is no amount we could take."));
    }
    if let Some(before) = BY_KEY.with_borrow(|known| known.get(&demand.key).cloned()) {
        return match before.amount_cents == demand.amount_cents {
            true => Ok(before),
            false => Err(Problem::new(
                409,
                "This payment was made with another amount.",
            )),
        };
    }
    let card_last4 = approved(&demand.card_number)?;
    let payment = Payment {
        id: random_token(),
        amount_cents: demand.amount_cents,
        card_last4,
    };
    BY_KEY.with_borrow_mut(|known| {
        if known.len() >= PAYMENTS_MAX {
            return Err(Problem::new(
                503,
                "The bank is busy; you have not been charged.",
            ));
        }
        known.insert(demand.key, payment.clone());
        Ok(payment)
    })
}

/// The card's last four digits, if the bank agrees.
fn approved(card_number: &str) -> Result<String, Problem> {
    let digits: Option<Vec<u32>> = card_number
        .chars()
        .filter(|c| !matches!(c, ' ' | '-'))
        .map(|c| c.to_digit(10))
        .collect();
    let digits = digits.filter(|digits| (13..=19).contains(&digits.len()) && passes_luhn(digits));
    let digits =
        digits.ok_or_else(|| Problem::new(422, "That is no card number; is a digit wrong?"))?;
    let last4: String = digits[digits.len() - 4..]
        .iter()
        .map(u32::to_string)
        .collect();
    match last4.as_str() {
        "0002" => Err(Problem::new(
            402,
            "The card was declined; you have not been charged.",
        )),
        _ => Ok(last4),
    }
}

/// The check digit that every card number ends in.
fn passes_luhn(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let weighted = digits.iter().rev().enumerate();
    weighted
        .map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit })
        .sum::<u32>()
        % 10
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_approved_declined_or_no_cards() {
        let rows = [
            ("4242 4242 4242 4242", Ok("4242")),
            ("4242-4242-4242-4242", Ok("4242")),
            ("5555555555554444", Ok("4444")),
            ("4000 0000 0000 0002", Err(402)),
            ("4242 4242 4242 4243", Err(422)),
            ("42", Err(422)),
            ("", Err(422)),
            ("4242 4242 4242 424x", Err(422)),
        ];
        for (number, expected) in rows {
            let got = approved(number).map_err(|problem| problem.status);
            assert_eq!(got, expected.map(str::to_string), "{number}");
        }
    }
}
