//! What holds of files in the cache, whatever is in them: for the fuzz target `entry`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::entry::{KEY_BYTES, Stamp, seal, verify};
use crate::artifact::{Digest, EngineHash};

/// The first byte says how: as it is, or sealed and then edited by the rest. An edit is three
/// bytes: two for the place (the end of the file and what is beyond it, too), one to put there.
pub fn check(input: &[u8]) {
    let [how, rest @ ..] = input else { return };
    if let Err(error) = checked(*how, rest) {
        panic!("{error}");
    }
}

fn checked(how: u8, bytes: &[u8]) -> io::Result<()> {
    let file = tempfile::tempfile()?;
    let key = [7; KEY_BYTES];
    let engine = "ab".repeat(32).parse::<EngineHash>();
    let stamp = Stamp {
        component: Digest::of(b"component"),
        engine: engine.map_err(io::Error::other)?,
    };
    if how == 0 {
        file.write_all_at(bytes, 0)?;
        assert!(verify(&file, &key, &stamp).is_err(), "nobody sealed it");
        return Ok(());
    }
    let (code, edits) = bytes.split_at(bytes.len().min(usize::from(how)));
    file.write_all_at(code, 0)?;
    seal(&file, &key, &stamp)?;
    assert!(verify(&file, &key, &stamp).is_ok(), "sealed");
    let sealed = whole(&file)?;
    for edit in edits.chunks_exact(3) {
        let place = u64::from(u16::from_le_bytes([edit[0], edit[1]])) % (sealed.len() as u64 + 8);
        file.write_all_at(&edit[2..], place)?;
    }
    let altered = whole(&file)? != sealed;
    assert_eq!(verify(&file, &key, &stamp).is_err(), altered);
    let other = [8; KEY_BYTES];
    assert!(verify(&file, &other, &stamp).is_err(), "another's key");
    Ok(())
}

fn whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
