//! Passwords, kept so that whoever reads them learns nothing: Argon2id with a salt for each.
use std::fmt;

use argon2::Argon2;

#[derive(Clone)]
pub struct Password {
    salt: String,
    hash: [u8; 32],
}

impl Password {
    /// Takes about a tenth of a second and 19 MiB, on purpose.
    pub fn hashed(password: &str) -> Password {
        Password::with_salt(password, token::random())
    }

    pub fn matches(&self, password: &str) -> bool {
        let other = Password::with_salt(password, self.salt.clone());
        // Every byte is compared, so that the time taken tells nothing.
        let difference = self
            .hash
            .iter()
            .zip(other.hash)
            .fold(0, |all, (a, b)| all | (a ^ b));
        difference == 0
    }

    fn with_salt(password: &str, salt: String) -> Password {
        let mut hash = [0; 32];
        Argon2::default()
            .hash_password_into(password.as_bytes(), salt.as_bytes(), &mut hash)
            .expect("the lengths of salt and hash are fixed, and that of the password is far below 4 GiB");
        Password { salt, hash }
    }
}

/// Neither hash nor salt gets into a log by mistake.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_matches() {
        let password = Password::with_salt("correct horse", "0123456789abcdef".to_string());
        assert!(password.matches("correct horse"));
        assert!(!password.matches("correct horsf"));
        assert!(!password.matches(""));
    }
}
