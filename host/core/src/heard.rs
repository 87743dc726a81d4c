//! What is believed of a client's own words in a request's head: hosts, ids, trace contexts, and the
//! addresses that proxies pass on. All of it ends in logs, in headers for guests, or in routing.

use std::net::{IpAddr, SocketAddr};

use crate::manifest::Network;

/// Longer ids are not ids; nobody may fill our logs through this header.
pub const REQUEST_ID_MAX: usize = 128;

/// Whether this is a host, perhaps with a port (RFC 9112, section 3.2): letters, digits and what else
/// names and addresses are written with, so that it can stand in a quoted string as it is.
pub fn is_host(bytes: &[u8]) -> bool {
    let (host, port) = match bytes {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else {
                return false;
            };
            (&rest[..end], &rest[end + 1..])
        }
        _ => bytes.split_at(bytes.iter().position(|b| *b == b':').unwrap_or(bytes.len())),
    };
    let in_brackets = bytes.first() == Some(&b'[');
    let allowed = |byte: &u8| {
        byte.is_ascii_alphanumeric() || b"-._~%".contains(byte) || (in_brackets && *byte == b':')
    };
    !host.is_empty() && host.iter().all(allowed) && is_port(port)
}

/// Nothing, or a colon and perhaps a number.
fn is_port(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b':', digits @ ..] => {
            let number = digits.iter().try_fold(0_u16, |number, digit| {
                let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
                number.checked_mul(10)?.checked_add(digit)
            });
            number.is_some()
        }
        _ => false,
    }
}

/// Whether this may be a request's id.
pub fn is_request_id(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    !bytes.is_empty() && bytes.len() <= REQUEST_ID_MAX && bytes.iter().all(allowed)
}

/// Whether this is a `traceparent` (W3C Trace Context, section 3.2).
pub fn is_trace_parent(bytes: &[u8]) -> bool {
    let hex = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
    };
    let zero = |range: std::ops::Range<usize>| bytes[range].iter().all(|b| *b == b'0');
    let shaped = bytes.len() >= 55
        && [2, 35, 52].iter().all(|at| bytes[*at] == b'-')
        && hex(0..2)
        && hex(3..35)
        && hex(36..52)
        && hex(53..55);
    // Version 00 has exactly these fields; ff is forbidden; later versions may add more, after a dash.
    let versioned = shaped
        && match &bytes[..2] {
            b"ff" => false,
            b"00" => bytes.len() == 55,
            _ => bytes.get(55).is_none_or(|next| *next == b'-'),
        };
    versioned && !zero(3..35) && !zero(36..52)
}

/// The client that a trusted proxy speaks for: in these `x-forwarded-for` values, the last address from
/// the right that no trusted proxy vouches to be another proxy. `None`: there is no address.
pub fn client<'a>(
    values: impl DoubleEndedIterator<Item = &'a str>,
    proxies: &[Network],
) -> Option<IpAddr> {
    let entries = values.rev().flat_map(|value| value.rsplit(','));
    let mut first = None;
    for address in entries.filter_map(|entry| address(entry.trim())) {
        if !proxies.iter().any(|network| network.contains(address)) {
            return Some(address);
        }
        first = Some(address);
    }
    first
}

/// An address as X-Forwarded-For lists it, perhaps with a port.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches('"');
    entry
        .parse()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[&str]) -> Option<String> {
        let proxies = ["10.0.0.0/8".parse().unwrap()];
        client(values.iter().copied(), &proxies).map(|address| address.to_string())
    }

    #[test]
    fn the_client_is_the_last_that_no_proxy_vouches_for() {
        assert_eq!(seen(&[]), None);
        assert_eq!(seen(&["nobody", ""]), None);
        assert_eq!(seen(&["1.1.1.1"]).unwrap(), "1.1.1.1");
        assert_eq!(seen(&["6.6.6.6, 1.1.1.1, 10.0.0.7"]).unwrap(), "1.1.1.1");
        assert_eq!(seen(&["6.6.6.6", "1.1.1.1,10.0.0.7"]).unwrap(), "1.1.1.1");
        assert_eq!(seen(&["10.0.0.9, 10.0.0.7"]).unwrap(), "10.0.0.9");
        assert_eq!(
            seen(&["\"[2001:db8::1]:80\", 10.0.0.7:1"]).unwrap(),
            "2001:db8::1"
        );
        assert_eq!(seen(&["1.1.1.1, [::ffff:10.0.0.1]"]).unwrap(), "1.1.1.1");
    }

    #[test]
    fn hosts_and_ids_hold_nothing_that_ends_a_quote_or_a_line() {
        for good in [
            "a",
            "a.example:80",
            "a:",
            "[::1]:8080",
            "[::1]",
            "%41",
            "1.2.3.4:65535",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", "a b", "a\"b", "a/b", "a@b", "a,b", "a\\b", "a\r\nb", "\u{e4}", ":80", "a:b",
            "a:80:80", "a:65536", "a:+80", "[::1", "[]", "[::1]a", "[::1]:b", "a[::1]", "::1",
            "[::1\"]", "[:: 1]",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(is_request_id(b"abc-123_4.5:+/="));
        for bad in ["", "two words", "<script>", &"x".repeat(REQUEST_ID_MAX + 1)] {
            assert!(!is_request_id(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn later_versions_of_a_trace_may_say_more_after_a_dash() {
        let trace = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_trace_parent(format!("00-{trace}").as_bytes()));
        assert!(is_trace_parent(format!("01-{trace}-more").as_bytes()));
        assert!(!is_trace_parent(format!("01-{trace}more").as_bytes()));
        assert!(!is_trace_parent(format!("00-{trace}-more").as_bytes()));
        assert!(!is_trace_parent(format!("ff-{trace}").as_bytes()));
    }

    #[test]
    fn a_trace_is_four_fields_of_hexadecimal_digits_between_dashes() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for at in 0..good.len() {
            for wrong in [b'g', b'A', b'-', b'0', b' ', 0xc3] {
                let mut bytes = good.as_bytes().to_vec();
                let right = std::mem::replace(&mut bytes[at], wrong);
                // A zero instead of a digit says something else, but says it well.
                let still = wrong == right || (wrong == b'0' && right != b'-');
                assert_eq!(is_trace_parent(&bytes), still, "{at}: {wrong:?}");
            }
        }
        for length in 0..good.len() {
            assert!(!is_trace_parent(&good.as_bytes()[..length]), "{length}");
        }
        let (zeros, id) = ("0".repeat(32), "b7ad6b7169203331");
        assert!(!is_trace_parent(format!("00-{zeros}-{id}-01").as_bytes()));
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let zeros = "0".repeat(16);
        assert!(!is_trace_parent(
            format!("00-{trace}-{zeros}-01").as_bytes()
        ));
    }
}
