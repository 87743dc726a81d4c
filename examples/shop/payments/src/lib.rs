//! Takes the money, or says why not. A pretended bank: 4242 4242 4242 4242 pays, a card ending
//! in 0002 is declined. Payments live in this instance's memory, by their keys: a crash forgets them,
//! and the money with them. Card numbers are neither kept nor logged.
wit_bindgen::generate!({
    path: "../wit/payments.wit",
    world: "service",
    additional_derives: [PartialEq],
});

use std::cell::RefCell;
use std::collections::HashMap;

use exports::shop::payments::payments::{Demand, Guest, Payment, Problem};

/// Payments remembered, a few hundred bytes each.
const PAYMENTS_MAX: usize = 10_000;
const KEY_LENGTH_MAX: usize = 64;
const AMOUNT_MAX_CENTS: u32 = 1_000_000;

thread_local! {
    static BY_KEY: RefCell<HashMap<String, Payment>> = RefCell::default();
}

struct Payments;
export!(Payments);

impl Guest for Payments {
    fn pay(demand: Demand) -> Result<Payment, Problem> {
        mishap::perhaps("payments");
        if demand.key.is_empty() || demand.key.len() > KEY_LENGTH_MAX {
            return Err(Problem::BadKey);
        }
        if demand.amount_cents == 0 || demand.amount_cents > AMOUNT_MAX_CENTS {
            return Err(Problem::BadAmount);
        }
        if let Some(before) = BY_KEY.with_borrow(|known| known.get(&demand.key).cloned()) {
            return match before.amount_cents == demand.amount_cents {
                true => Ok(before),
                false => Err(Problem::KeyUsed),
            };
        }
        let card_last4 = approved(&demand.card_number)?;
        let payment = Payment {
            id: token::random(),
            amount_cents: demand.amount_cents,
            card_last4,
        };
        BY_KEY.with_borrow_mut(|known| {
            if known.len() >= PAYMENTS_MAX {
                return Err(Problem::Full);
            }
            known.insert(demand.key, payment.clone());
            Ok(payment)
        })
    }
}

/// The card's last four digits, if the bank agrees.
fn approved(card_number: &str) -> Result<String, Problem> {
    let digits: Option<Vec<u32>> = card_number
        .chars()
        .filter(|c| !matches!(c, ' ' | '-'))
        .map(|c| c.to_digit(10))
        .collect();
    let digits = digits.filter(|digits| (13..=19).contains(&digits.len()) && passes_luhn(digits));
    let digits = digits.ok_or(Problem::BadCard)?;
    let last4: String = digits[digits.len() - 4..]
        .iter()
        .map(u32::to_string)
        .collect();
    match last4.as_str() {
        "0002" => Err(Problem::Declined),
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
            ("4000 0000 0000 0002", Err(Problem::Declined)),
            ("4242 4242 4242 4243", Err(Problem::BadCard)),
            ("42", Err(Problem::BadCard)),
            ("", Err(Problem::BadCard)),
            ("4242 4242 4242 424x", Err(Problem::BadCard)),
        ];
        for (number, expected) in rows {
            let expected = expected.map(str::to_string);
            assert_eq!(approved(number), expected, "{number}");
        }
    }
}
