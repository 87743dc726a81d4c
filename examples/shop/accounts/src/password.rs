//! Passwords, kept so that whoever reads them learns nothing: Argon2id with a salt for each.
use std::fmt;

use argon2::Argon2;
use shop_http::{Problem, random_token};

#[derive(Clone)]
pub struct Password {
    salt: String,
    hash: [u8; 32],
}

impl Password {
    /// Takes about a tenth of a second and 19 MiB, on purpose.
    pub fn hashed(password: &str) -> Result<Password, Problem> {
        Password::with_salt(password, random_token())
    }

    pub fn matches(&self, password: &str) -> Result<bool, Problem> {
        let other = Password::with_salt(password, self.salt.clone())?;
        // Every byte is compared, so that the time taken tells nothing.
        let difference = self
            .hash
            .iter()
            .zip(other.hash)
            .fold(0, |all, (a, b)| all | (a ^ b));
        Ok(difference == 0)
    }

    fn with_salt(password: &str, salt: String) -> Result<Password, Problem> {
        let mut hash = [0; 32];
        Argon2::default()
            .hash_password_into(password.as_bytes(), salt.as_bytes(), &mut hash)
            .map_err(|error| {
                Problem::new(500, format!("The password cannot be hashed: {error}."))
            })?;
        Ok(Password { salt, hash })
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
        let password =
            Password::with_salt("correct horse", "0123456789abcdef".to_string()).unwrap();
        assert!(password.matches("correct horse").unwrap());
        assert!(!password.matches("correct horsf").unwrap());
        assert!(!password.matches("").unwrap());
    }
}
