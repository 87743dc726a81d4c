//! The token that the control API over TCP asks for: read once, never shown, compared in constant time.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use axum::http::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Characters of a token at least: 32 of hexadecimal are 128 bits.
pub const TOKEN_MIN: usize = 32;

/// And at most.
pub const TOKEN_MAX: usize = 1024;

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read the token from {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("others may read the token in {0}; run `chmod 600 {0}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It is too short, too long, or no token.
    #[error(
        "{} has to have one line of {TOKEN_MIN} to {TOKEN_MAX} letters, digits or `-._~+/=`; \
         `openssl rand -hex 32` makes one",
        path.display()
    )]
    Unfit {
        /// The file.
        path: PathBuf,
    },
}

/// What a client has to show. Its text is not kept.
pub(super) struct Token([u8; 32]);

impl Token {
    /// Reads the text of a token from a file that only its owner may read.
    pub(super) fn text(path: &Path) -> Result<String, TokenError> {
        let unreadable = |source| TokenError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let unfit = || TokenError::Unfit {
            path: path.to_owned(),
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(TokenError::Open {
                path: path.to_owned(),
            });
        }
        let mut text = String::new();
        // With a line break, and one byte that would be too many.
        let most = TOKEN_MAX as u64 + 3;
        file.take(most)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        let token = text.trim();
        let fits =
            (TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(is_of_a_token);
        fits.then(|| token.to_owned()).ok_or_else(unfit)
    }

    pub(super) fn read(path: &Path) -> Result<Token, TokenError> {
        Token::text(path).map(|text| Token::of(text.as_bytes()))
    }

    fn of(text: &[u8]) -> Token {
        Token(Sha256::digest(text).into())
    }

    /// Whether an `Authorization` field has it. Takes as long whatever is in it: digests are compared,
    /// so that not even the length shows.
    pub(super) fn is_in(&self, authorization: Option<&HeaderValue>) -> bool {
        let Some(value) = authorization else {
            return false;
        };
        let Some((scheme, shown)) = value.as_bytes().split_at_checked(SCHEME.len()) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(SCHEME) && bool::from(Token::of(shown).0.ct_eq(&self.0))
    }
}

/// RFC 6750, section 2.1.
const SCHEME: &[u8] = b"Bearer ";

fn is_of_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef0123456789abcdef";

    fn read(text: &str, mode: u32) -> Result<Token, TokenError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Token::read(&path)
    }

    #[test]
    fn a_token_is_one_long_word_that_nobody_else_may_read() {
        read(&format!("{TEXT}\n"), 0o600).unwrap();
        read(&"x".repeat(TOKEN_MAX), 0o400).unwrap();
        for (text, mode) in [(TEXT, 0o640), (TEXT, 0o604)] {
            assert!(matches!(read(text, mode), Err(TokenError::Open { .. })));
        }
        let long = "x".repeat(TOKEN_MAX + 1);
        let two = format!("{TEXT} {TEXT}");
        for text in ["", "short", &TEXT[1..], &long, &two] {
            assert!(matches!(read(text, 0o600), Err(TokenError::Unfit { .. })));
        }
        let none = Token::read(Path::new("/nowhere/token"));
        assert!(matches!(none, Err(TokenError::Unreadable { .. })));
    }

    #[test]
    fn only_the_token_itself_is_taken() {
        let token = Token::of(TEXT.as_bytes());
        let shown = |text: &str| token.is_in(Some(&HeaderValue::from_str(text).unwrap()));
        assert!(shown(&format!("Bearer {TEXT}")));
        assert!(shown(&format!("bearer {TEXT}")));
        for wrong in [
            String::new(),
            "Bearer ".to_owned(),
            TEXT.to_owned(),
            format!("Basic {TEXT}"),
            format!("Bearer {TEXT}0"),
            format!("Bearer {}", &TEXT[1..]),
            format!("Bearer  {TEXT}"),
        ] {
            assert!(!shown(&wrong), "{wrong:?}");
        }
        assert!(!token.is_in(None));
    }
}
