//! What is believed of a request's head, against plain restatements. The input is lines: the first
//! stands for a host, an id and a trace context, the others are values of `x-forwarded-for`.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use skep_core::heard::{REQUEST_ID_MAX, client, is_host, is_request_id, is_trace_parent};
use skep_core::manifest::Network;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    word(first);
    let values: Vec<&str> = lines
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    chain(&values);
});

fn word(bytes: &[u8]) {
    // What passes is written into headers and logs as it is.
    let harmless = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\,;<>@/?# ".contains(byte);
    if is_host(bytes) {
        assert!(!bytes.is_empty() && bytes.iter().all(harmless));
        let value = http::HeaderValue::from_bytes(bytes).expect("a header's value");
        assert!(value.to_str().is_ok());
        if let Ok(authority) = http::uri::Authority::try_from(bytes) {
            assert_eq!(authority.as_str().as_bytes(), bytes, "no other spelling");
        }
    }
    if is_request_id(bytes) {
        let harmless = |byte: &u8| harmless(byte) || *byte == b'/';
        assert!(!bytes.is_empty() && bytes.len() <= REQUEST_ID_MAX && bytes.iter().all(harmless));
    }
    assert_eq!(is_trace_parent(bytes), trace(bytes).is_some());
}

/// The grammar once more, field by field.
fn trace(bytes: &[u8]) -> Option<()> {
    let text = std::str::from_utf8(bytes).ok();
    let text = match text {
        Some(text) => text.to_owned(),
        // Only what follows the known fields may be no text.
        None => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    let mut fields = text.splitn(5, '-');
    let mut hex = |length: usize| {
        let field = fields.next()?;
        let digits = field
            .chars()
            .all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        (field.len() == length && digits).then(|| field.to_owned())
    };
    let version = hex(2)?;
    let ids = [hex(32)?, hex(16)?];
    hex(2)?;
    let more = fields.next().is_some();
    let fits = version != "ff" && !(version == "00" && more);
    let zero = ids.iter().any(|id| id.chars().all(|c| c == '0'));
    (fits && !zero).then_some(())
}

fn chain(values: &[&str]) {
    let proxies: Vec<Network> = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]
        .iter()
        .map(|network| network.parse().expect("a network"))
        .collect();
    let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let found = client(values.iter().copied(), &proxies);
    // The order of lines and of commas is one order.
    assert_eq!(found, client(std::iter::once(&*values.join(",")), &proxies));
    if let Some(found) = found {
        // Whoever is farther from us cannot change whom we see.
        let mut forged = vec!["6.6.6.6, 10.0.0.1"];
        forged.extend_from_slice(values);
        let seen = client(forged.into_iter(), &proxies);
        if trusted(found) {
            assert_eq!(seen, Some("6.6.6.6".parse().expect("an address")));
        } else {
            assert_eq!(seen, Some(found));
        }
        // A further trusted proxy changes nothing.
        let mut longer = values.to_vec();
        longer.push("10.9.9.9");
        assert_eq!(client(longer.into_iter(), &proxies), Some(found));
    }
}
