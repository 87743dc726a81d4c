//! Machine code of single functions, kept from one compilation for the next: a component that a
//! language's runtime is part of differs from its former version in a few functions of tens of
//! thousands.
//!
//! Cranelift asks by a hash of all that a function's code depends on, its own version included
//! (`wasmtime::Config::enable_incremental_compilation`), so an answer never changes what comes out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use wasmtime::CacheStore;

/// Changes with the form of what [`Functions::write`] writes.
const MAGIC: &[u8; 16] = b"skep functions1\n";

/// The largest component has some ten times as many; a larger number is no count.
const MOST_FUNCTIONS: u64 = 4 << 20;

/// What one compilation finds, and what it leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Functions {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, Known>,
    new: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    found: AtomicU64,
}

#[derive(Debug)]
struct Known {
    code: Range<usize>,
    used: AtomicBool,
}

impl Functions {
    /// Reads what [`Functions::write`] has written; what follows is left unread.
    ///
    /// # Errors
    /// If it is something else, or cut off.
    pub(super) fn read(mut from: impl Read) -> io::Result<Functions> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        let count = number(&mut from)?;
        if magic != *MAGIC || count > MOST_FUNCTIONS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut functions = Functions::default();
        for _ in 0..count {
            let key = take(&mut from, &mut functions.bytes)?;
            let name = functions.bytes[key].to_vec();
            let code = take(&mut from, &mut functions.bytes)?;
            let used = AtomicBool::new(false);
            functions.known.insert(name, Known { code, used });
        }
        Ok(functions)
    }

    /// Writes what this compilation has used or made. The rest belongs to versions that are gone.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn write(&self, mut to: impl Write) -> io::Result<()> {
        let new = self.new.lock();
        let used: Vec<_> = self
            .known
            .iter()
            .filter(|(key, known)| {
                known.used.load(Ordering::Relaxed) && !new.contains_key(key.as_slice())
            })
            .map(|(key, known)| (key, &self.bytes[known.code.clone()]))
            .collect();
        to.write_all(MAGIC)?;
        to.write_all(&((used.len() + new.len()) as u64).to_le_bytes())?;
        let made = new.iter().map(|(key, code)| (key, code.as_slice()));
        for (key, code) in used.into_iter().chain(made) {
            for part in [key.as_slice(), code] {
                to.write_all(&(part.len() as u64).to_le_bytes())?;
                to.write_all(part)?;
            }
        }
        to.flush()
    }

    /// How many functions need not be compiled, and how many had to be, so far.
    pub(super) fn counts(&self) -> (u64, u64) {
        let made = self.new.lock().len() as u64;
        (self.found.load(Ordering::Relaxed), made)
    }
}

fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Appends a part to `bytes`; the length that it claims is not believed before it has come.
fn take(from: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<Range<usize>> {
    let length = number(from)?;
    let begin = bytes.len();
    let read = from.take(length).read_to_end(bytes)?;
    if read as u64 == length {
        Ok(begin..bytes.len())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

impl CacheStore for Functions {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let code = if let Some(known) = self.known.get(key) {
            known.used.store(true, Ordering::Relaxed);
            Cow::Borrowed(&self.bytes[known.code.clone()])
        } else {
            Cow::Owned(self.new.lock().get(key)?.clone())
        };
        self.found.fetch_add(1, Ordering::Relaxed);
        Some(code)
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        self.new.lock().insert(key.to_vec(), value);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(functions: &Functions) -> Vec<u8> {
        let mut bytes = Vec::new();
        functions.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_not_used_is_not_kept() {
        let first = Functions::default();
        assert!(first.insert(b"old", b"old code".to_vec()));
        assert!(first.insert(b"same", b"same code".to_vec()));
        assert_eq!(first.get(b"same").as_deref(), Some(&b"same code"[..]));

        let second = Functions::read(&written(&first)[..]).unwrap();
        assert_eq!(second.get(b"same").as_deref(), Some(&b"same code"[..]));
        assert_eq!(second.get(b"new"), None);
        assert!(second.insert(b"new", b"new code".to_vec()));
        assert_eq!(second.counts(), (1, 1));

        let third = Functions::read(&written(&second)[..]).unwrap();
        assert_eq!(third.get(b"old"), None);
        assert_eq!(third.get(b"same").as_deref(), Some(&b"same code"[..]));
        assert_eq!(third.get(b"new").as_deref(), Some(&b"new code"[..]));
    }

    #[test]
    fn a_length_that_lies_is_an_error_and_takes_no_memory() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(Functions::read(&bytes[..]).is_err());
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(Functions::read(&bytes[..]).is_err());
    }

    proptest! {
        #[test]
        fn all_comes_back_and_nothing_that_is_cut_off(
            functions in prop::collection::hash_map(
                prop::collection::vec(any::<u8>(), 0..20),
                prop::collection::vec(any::<u8>(), 0..50),
                0..20,
            ),
            cut in any::<prop::sample::Index>(),
        ) {
            let store = Functions::default();
            for (key, code) in &functions {
                store.insert(key, code.clone());
            }
            let mut bytes = written(&store);
            let whole = bytes.len();
            bytes.extend_from_slice(b"and what follows");
            let read = Functions::read(&bytes[..]).unwrap();
            for (key, code) in &functions {
                prop_assert!(read.get(key).as_deref() == Some(code.as_slice()));
            }
            bytes.truncate(cut.index(whole));
            prop_assert!(Functions::read(&bytes[..]).is_err());
        }
    }
}
