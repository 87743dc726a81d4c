//! Where a host's control API answers, as commands see it: a Unix socket, or an address and a token, over
//! TLS if the address says so. Everything here blocks.

use std::fmt::{self, Display};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::{Authority, Scheme};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::ControlError;
use super::token::Token;

/// For a connection to be made, and for a TLS handshake.
const PATIENCE: Duration = Duration::from_secs(5);

/// The address of a host: `http://127.0.0.1:7070`, `https://skep.example:7070`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUrl {
    secure: bool,
    /// With its port.
    authority: Authority,
}

/// What is written is no such address.
#[derive(Debug, thiserror::Error)]
#[error("write http://ADDRESS:PORT or https://ADDRESS:PORT")]
pub struct BadHostUrl;

impl FromStr for HostUrl {
    type Err = BadHostUrl;

    fn from_str(text: &str) -> Result<HostUrl, BadHostUrl> {
        let uri: Uri = text.parse().map_err(|_| BadHostUrl)?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(BadHostUrl),
        };
        let authority = uri.authority().ok_or(BadHostUrl)?;
        let bare = uri.path() == "/" && uri.query().is_none();
        let is_address = !authority.host().is_empty() && !authority.as_str().contains('@');
        if !bare || !is_address || authority.port_u16().is_none() {
            return Err(BadHostUrl);
        }
        Ok(HostUrl {
            secure,
            authority: authority.clone(),
        })
    }
}

impl Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl HostUrl {
    /// Without the brackets of an IPv6 address.
    fn name(&self) -> &str {
        let host = self.authority.host();
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// See the module.
pub struct Endpoint(Way);

enum Way {
    Socket(PathBuf),
    Address {
        url: HostUrl,
        token: String,
        /// By what its certificate is verified, if it has to have one.
        tls: Option<Arc<ClientConfig>>,
    },
}

/// A connection to a host.
pub(super) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

impl Endpoint {
    /// The host that has made this Unix socket.
    pub fn socket(path: impl Into<PathBuf>) -> Endpoint {
        Endpoint(Way::Socket(path.into()))
    }

    /// The host at this address, by the token in a file that only this user may read. The host's
    /// certificate is verified by the authorities in `ca`, or by those that the system trusts.
    ///
    /// # Errors
    /// If the token or the authorities cannot be had.
    pub fn address(
        url: HostUrl,
        token: &Path,
        ca: Option<&Path>,
    ) -> Result<Endpoint, ControlError> {
        let token = Token::text(token)?;
        let tls = match url.secure {
            true => Some(Arc::new(trusting(ca)?)),
            false => None,
        };
        Ok(Endpoint(Way::Address { url, token, tls }))
    }

    /// What a request has to say beside its own matter: header fields with their line breaks.
    pub(super) fn fields(&self) -> String {
        match &self.0 {
            Way::Socket(_) => "host: localhost\r\n".to_owned(),
            Way::Address { url, token, .. } => {
                let authority = &url.authority;
                format!("host: {authority}\r\nauthorization: Bearer {token}\r\n")
            }
        }
    }

    /// A connection on which a piece of the answer may take as long as `patience`; none: for ever.
    pub(super) fn connect(
        &self,
        patience: Option<Duration>,
    ) -> Result<Box<dyn Stream>, ControlError> {
        match &self.0 {
            Way::Socket(path) => {
                let stream = UnixStream::connect(path).map_err(|error| self.silent(error))?;
                let limited = stream
                    .set_read_timeout(patience)
                    .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
                limited.map_err(|error| self.silent(error))?;
                Ok(Box::new(stream))
            }
            Way::Address { url, tls, .. } => {
                let mut stream = connected(url).map_err(|error| self.silent(error))?;
                let tls = tls.as_ref().map(|tls| self.secured(url, tls, &mut stream));
                let tls = tls.transpose()?;
                stream
                    .set_read_timeout(patience)
                    .map_err(|error| self.silent(error))?;
                Ok(match tls {
                    Some(tls) => Box::new(StreamOwned::new(tls, stream)),
                    None => Box::new(stream),
                })
            }
        }
    }

    fn secured(
        &self,
        url: &HostUrl,
        config: &Arc<ClientConfig>,
        stream: &mut TcpStream,
    ) -> Result<ClientConnection, ControlError> {
        let untrusted = |source| ControlError::Untrusted {
            url: url.clone(),
            source,
        };
        let name = ServerName::try_from(url.name().to_owned()).map_err(io::Error::other);
        let connection = name
            .and_then(|name| ClientConnection::new(config.clone(), name).map_err(io::Error::other));
        let mut connection = connection.map_err(untrusted)?;
        while connection.is_handshaking() {
            connection.complete_io(stream).map_err(untrusted)?;
        }
        Ok(connection)
    }

    /// Nobody answers, or not any more.
    pub(super) fn silent(&self, source: io::Error) -> ControlError {
        match &self.0 {
            Way::Socket(path) => ControlError::NoHost {
                path: path.clone(),
                source,
            },
            Way::Address { url, .. } => ControlError::NoHostAt {
                url: url.clone(),
                source,
            },
        }
    }
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Way::Socket(path) => path.display().fmt(f),
            Way::Address { url, .. } => url.fmt(f),
        }
    }
}

/// The first of its addresses that answers.
fn connected(url: &HostUrl) -> io::Result<TcpStream> {
    let port = url.authority.port_u16().unwrap_or_default();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (url.name(), port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Trusts the authorities in a file (PEM), or those that the system trusts.
fn trusting(ca: Option<&Path>) -> Result<ClientConfig, ControlError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let unusable = |source| ControlError::Authorities {
                path: path.to_owned(),
                source,
            };
            let read: Result<Vec<_>, pem::Error> =
                CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            for authority in read.map_err(io::Error::other).map_err(unusable)? {
                let added = roots.add(authority).map_err(io::Error::other);
                added.map_err(unusable)?;
            }
            if roots.is_empty() {
                let empty = io::Error::other("there is no certificate in it");
                return Err(unusable(empty));
            }
        }
        None => {
            // Without any, the handshake says so.
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(super::TlsError::Unusable)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_port_and_nothing_else() {
        for text in [
            "http://127.0.0.1:7070",
            "https://[::1]:7070",
            "https://skep.example:443",
        ] {
            let url: HostUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text);
        }
        let url: HostUrl = "https://[::1]:7070/".parse().unwrap();
        assert_eq!((url.name(), url.secure), ("::1", true));
        for text in [
            "",
            "127.0.0.1:7070",
            "http://127.0.0.1",
            "ftp://127.0.0.1:7070",
            "http://127.0.0.1:7070/v1",
            "http://127.0.0.1:7070/?a",
            "http://me@127.0.0.1:7070",
            "http://:7070",
            "http://127.0.0.1:70700",
        ] {
            assert!(text.parse::<HostUrl>().is_err(), "{text}");
        }
    }
}
