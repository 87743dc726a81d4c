//! What makes the host hold things for the guest.
use std::cell::RefCell;

use wasip3::http::types::Fields;
use wasip3::wit_bindgen::{StreamReader, StreamWriter};
use wasip3::wit_stream;

thread_local! {
    static FIELDS: RefCell<Vec<Fields>> = const { RefCell::new(Vec::new()) };
    static STREAMS: RefCell<Vec<(StreamWriter<u8>, StreamReader<u8>)>> =
        const { RefCell::new(Vec::new()) };
}

/// So many header lists with a value of so many bytes each.
pub(crate) fn fields(n: u64, bytes: u64) -> String {
    let value = "f".repeat(bytes as usize).into_bytes();
    FIELDS.with_borrow_mut(|held| {
        for _ in 0..n {
            let fields = Fields::new();
            if let Err(error) = fields.append("x-hoard", &value) {
                return format!("refused after {}: {error:?}\n", held.len());
            }
            held.push(fields);
        }
        format!("{} header lists\n", held.len())
    })
}

/// So many streams with both their ends.
pub(crate) fn streams(n: u64) -> String {
    STREAMS.with_borrow_mut(|held| {
        held.extend((0..n).map(|_| wit_stream::new::<u8>()));
        format!("{} streams\n", held.len())
    })
}
