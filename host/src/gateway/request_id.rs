//! The id that ties a request's answer, its log lines and its guest's own logs together.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use skep_core::heard::is_request_id;

/// `x-request-id`, on requests to guests and on every answer.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's id if it is one, or a new one of 128 random bits.
    pub(crate) fn accept_or_make(headers: &HeaderMap) -> RequestId {
        match headers.get(&HEADER) {
            Some(value) if is_request_id(value.as_bytes()) => RequestId(value.clone()),
            _ => RequestId::make(),
        }
    }

    /// A new one.
    pub(crate) fn make() -> RequestId {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let random = fastrand::u128(..).to_be_bytes();
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(random) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        // Hexadecimal digits are legal in a header value. With an owner, text and count of the
        // clones that follow are one allocation.
        RequestId(
            HeaderValue::from_maybe_shared(Bytes::from_owner(text))
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        )
    }

    pub(crate) fn value(&self) -> &HeaderValue {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only visible ASCII gets in, see `is_request_id`.
        self.0.to_str().unwrap_or_default()
    }

    /// The id of what the host itself asks.
    pub(crate) fn named(name: &'static str) -> RequestId {
        RequestId(HeaderValue::from_static(name))
    }
}

#[cfg(test)]
mod tests {
    use skep_core::heard::REQUEST_ID_MAX;

    use super::*;

    fn given(id: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(id).unwrap());
        RequestId::accept_or_make(&headers).as_str().to_owned()
    }

    #[test]
    fn a_clients_id_is_kept_if_it_is_one() {
        assert_eq!(given("abc-123_4.5"), "abc-123_4.5");
        for bad in ["", "two words", "<script>", &"x".repeat(REQUEST_ID_MAX + 1)] {
            assert_eq!(given(bad).len(), 32, "{bad:?} must be replaced");
        }
    }

    #[test]
    fn made_ids_differ() {
        let ids: std::collections::HashSet<_> = (0..1000)
            .map(|_| RequestId::make().as_str().to_owned())
            .collect();
        assert_eq!(ids.len(), 1000);
    }
}
