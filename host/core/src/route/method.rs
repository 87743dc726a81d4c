//! The methods that a route serves.
use std::fmt;
use std::str::FromStr;

/// The methods that a route can name, in the order in which `Allow` lists them: those of HTTP, of
/// WebDAV and of caches. `CONNECT` is missing because it has no path to route by.
pub const METHODS: [&str; 29] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "QUERY",
    "SEARCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "ACL",
    "BIND",
    "UNBIND",
    "REBIND",
    "CHECKIN",
    "CHECKOUT",
    "VERSION-CONTROL",
    "MKCALENDAR",
    "LINK",
    "UNLINK",
    "PURGE",
];

/// Why a text is not a method that a route can name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMethod {
    #[error("`{0}` is not a method that a route can name")]
    Unknown(String),
    #[error("methods are written in upper case: `{0}`")]
    LowerCase(String),
}

/// A method of [`METHODS`]; its index there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(u8);

impl Method {
    pub const GET: Self = Self(0);
    pub const HEAD: Self = Self(1);

    /// The method of a request; `None` for one that no route can name.
    pub fn find(text: &str) -> Option<Self> {
        let index = METHODS.iter().position(|method| *method == text)?;
        // There are fewer than 256.
        Some(Self(index as u8))
    }

    pub fn as_str(self) -> &'static str {
        METHODS[usize::from(self.0)]
    }
}

impl FromStr for Method {
    type Err = BadMethod;

    fn from_str(text: &str) -> Result<Self, BadMethod> {
        if let Some(method) = Self::find(text) {
            return Ok(method);
        }
        let upper = text.to_ascii_uppercase();
        Err(match Self::find(&upper) {
            Some(_) => BadMethod::LowerCase(upper),
            None => BadMethod::Unknown(text.to_owned()),
        })
    }
}

/// A set of methods, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct MethodSet(u64);

// One bit each.
const _: () = assert!(METHODS.len() <= 64);

impl MethodSet {
    pub const EMPTY: Self = Self(0);

    #[must_use]
    pub fn with(self, method: Method) -> Self {
        Self(self.0 | (1 << method.0))
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn contains(self, method: Method) -> bool {
        self.0 & (1 << method.0) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The methods in the order of [`METHODS`].
    pub fn iter(self) -> impl Iterator<Item = Method> {
        (0..METHODS.len() as u8)
            .map(Method)
            .filter(move |method| self.contains(*method))
    }

    /// A method of both.
    fn common(self, other: Self) -> Option<Method> {
        Self(self.0 & other.0).iter().next()
    }
}

impl FromIterator<Method> for MethodSet {
    fn from_iter<I: IntoIterator<Item = Method>>(methods: I) -> Self {
        methods.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Display for MethodSet {
    /// As the value of an `Allow` field: `GET, HEAD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, method) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            f.write_str(method.as_str())?;
        }
        Ok(())
    }
}

/// Which methods a route serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Methods {
    /// All of them, also those that no route can name.
    #[default]
    Any,
    /// These. `GET` serves `HEAD` too where no route of the same host and path says `HEAD` itself.
    Only(MethodSet),
}

impl Methods {
    /// A method that both would serve, so that neither comes before the other. That `GET` serves
    /// `HEAD` does not count.
    pub fn overlap(self, other: Self) -> Option<Overlap> {
        match (self, other) {
            (Self::Any, Self::Any) => Some(Overlap::Any),
            (Self::Any, Self::Only(methods)) | (Self::Only(methods), Self::Any) => {
                methods.iter().next().map(Overlap::Method)
            }
            (Self::Only(own), Self::Only(others)) => own.common(others).map(Overlap::Method),
        }
    }
}

/// What two routes both serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    Any,
    Method(Method),
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "all methods",
            Self::Method(method) => method.as_str(),
        })
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any method"),
            Self::Only(methods) => methods.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_upper_case_and_known() {
        for method in METHODS {
            assert_eq!(method.parse::<Method>().unwrap().as_str(), method);
        }
        assert_eq!("GET".parse(), Ok(Method::GET));
        assert_eq!("HEAD".parse(), Ok(Method::HEAD));
        assert_eq!(
            "get".parse::<Method>(),
            Err(BadMethod::LowerCase("GET".into()))
        );
        assert_eq!(
            "GTE".parse::<Method>(),
            Err(BadMethod::Unknown("GTE".into()))
        );
    }

    #[test]
    fn sets_list_their_methods_in_a_fixed_order() {
        let set: MethodSet = ["POST", "HEAD", "GET"]
            .map(|m| m.parse().unwrap())
            .into_iter()
            .collect();
        assert_eq!(set.to_string(), "GET, HEAD, POST");
        let other = MethodSet::EMPTY.with(Method::HEAD);
        let only = Methods::Only(set);
        assert_eq!(
            only.overlap(Methods::Only(other)),
            Some(Overlap::Method(Method::HEAD))
        );
        assert_eq!(only.overlap(Methods::Only(MethodSet::EMPTY)), None);
        assert_eq!(Methods::Any.overlap(Methods::Any), Some(Overlap::Any));
    }
}
