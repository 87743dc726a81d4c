//! An entry's form: the code as wasmtime wrote it, then a footer that says whose it is and proves
//! that a host with the same key wrote every byte. wasmtime's loader ignores what follows the code.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::artifact::{Digest, EngineHash};

/// What an entry is compiled from and for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) component: Digest,
    pub(super) engine: EngineHash,
}

/// Why an entry is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it is not a file")]
    NotAFile,
    #[error("it is cut off, or not a cache entry")]
    NotAnEntry,
    #[error("it belongs to another component or engine")]
    Foreign,
    #[error("it has been altered, or was written with another key")]
    Altered,
}

/// Secret of all hosts that share a cache directory: a whole HMAC-SHA256 block.
pub(super) type Key = [u8; KEY_BYTES];
pub(super) const KEY_BYTES: usize = 64;

/// Changes with the footer's form.
const MAGIC: &[u8; 16] = b"skep compiled 1\n";
const MAC_BYTES: usize = 32;

/// Magic, component, engine, length of the code.
const HEAD_BYTES: usize = 16 + 32 + 32 + 8;
const FOOTER_BYTES: usize = HEAD_BYTES + MAC_BYTES;

/// Read at a time: large enough to be quick, small enough for the processor's cache.
const CHUNK: usize = 128 << 10;

/// Appends the footer to a file that holds code alone.
pub(super) fn seal(file: &File, key: &Key, stamp: &Stamp) -> io::Result<()> {
    let code = file.metadata()?.len();
    let mut mac = start(key);
    feed(&mut mac, file, code)?;
    let head = head(stamp, code);
    mac.update(&head);
    file.write_all_at(&head, code)?;
    file.write_all_at(&mac.finalize().into_bytes(), code + HEAD_BYTES as u64)
}

/// Passes only a file that `seal` has written with this key for this stamp, to the last bit.
pub(super) fn verify(file: &File, key: &Key, stamp: &Stamp) -> Result<(), Damage> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Damage::NotAFile);
    }
    let code = metadata
        .len()
        .checked_sub(FOOTER_BYTES as u64)
        .ok_or(Damage::NotAnEntry)?;
    let mut footer = [0; FOOTER_BYTES];
    file.read_exact_at(&mut footer, code)?;
    let (found, tag) = footer.split_at(HEAD_BYTES);
    if !found.starts_with(MAGIC) {
        return Err(Damage::NotAnEntry);
    }
    if found != head(stamp, code) {
        return Err(Damage::Foreign);
    }
    let mut mac = start(key);
    feed(&mut mac, file, code)?;
    mac.update(found);
    mac.verify_slice(tag).map_err(|_| Damage::Altered)
}

fn head(stamp: &Stamp, code: u64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..16].copy_from_slice(MAGIC);
    head[16..48].copy_from_slice(stamp.component.as_bytes());
    head[48..80].copy_from_slice(stamp.engine.as_bytes());
    head[80..].copy_from_slice(&code.to_le_bytes());
    head
}

fn start(key: &Key) -> Hmac<Sha256> {
    <Hmac<Sha256> as hmac::digest::KeyInit>::new(key.into())
}

/// The first `length` bytes of the file.
fn feed(mac: &mut Hmac<Sha256>, file: &File, length: u64) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    while offset < length {
        let want = usize::try_from(length - offset).map_or(CHUNK, |left| left.min(CHUNK));
        file.read_exact_at(&mut chunk[..want], offset)?;
        mac.update(&chunk[..want]);
        offset += want as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [7; KEY_BYTES];

    fn stamp() -> Stamp {
        Stamp {
            component: Digest::of(b"component"),
            engine: "ab".repeat(32).parse().unwrap(),
        }
    }

    fn sealed(code: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(code, 0).unwrap();
        seal(&file, &KEY, &stamp()).unwrap();
        file
    }

    #[test]
    fn what_is_sealed_verifies() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let file = sealed(&vec![3; length]);
            assert!(verify(&file, &KEY, &stamp()).is_ok(), "{length}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let code: Vec<u8> = (0..3000_u32).map(|i| (i % 251) as u8).collect();
        let file = sealed(&code);
        let length = file.metadata().unwrap().len();
        assert_eq!(length, 3000 + FOOTER_BYTES as u64);
        for at in 0..length {
            for bit in 0..8 {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
                assert!(
                    verify(&file, &KEY, &stamp()).is_err(),
                    "byte {at}, bit {bit}"
                );
                file.write_all_at(&byte, at).unwrap();
            }
        }
        assert!(verify(&file, &KEY, &stamp()).is_ok());
    }

    #[test]
    fn every_other_length_is_found() {
        let file = sealed(&[5; 500]);
        let length = file.metadata().unwrap().len();
        for shorter in 0..length {
            let file = sealed(&[5; 500]);
            file.set_len(shorter).unwrap();
            assert!(verify(&file, &KEY, &stamp()).is_err(), "{shorter}");
        }
        file.set_len(length + 1).unwrap();
        assert!(verify(&file, &KEY, &stamp()).is_err());
    }

    #[test]
    fn what_is_foreign_is_found() {
        let file = sealed(b"code");
        assert!(matches!(
            verify(&file, &[8; KEY_BYTES], &stamp()),
            Err(Damage::Altered)
        ));
        let other = Stamp {
            component: Digest::of(b"other"),
            ..stamp()
        };
        assert!(matches!(verify(&file, &KEY, &other), Err(Damage::Foreign)));
        let engine = "cd".repeat(32).parse().unwrap();
        let other = Stamp { engine, ..stamp() };
        assert!(matches!(verify(&file, &KEY, &other), Err(Damage::Foreign)));
        let directory = File::open(std::env::temp_dir()).unwrap();
        assert!(verify(&directory, &KEY, &stamp()).is_err());
    }
}
