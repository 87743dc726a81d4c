//! The control API over TCP: for clients that have the token, and for no browser.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::ControlError;
use super::problem::Problem;
use super::token::Token;
use crate::deploy::{self, Application};
use crate::listener::{self, Bound, Left, Purpose};

/// Connections at the same time. Who has no token holds one for [`PATIENCE`] at most.
const CONNECTIONS: usize = 64;

/// For a TLS handshake, for a request's head, and between two requests.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a request's head, and of a body at a time.
const HEAD_BYTES: usize = 64 << 10;

/// Pause after the system refused a connection for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// All that `host.control` asks for, at hand before anything starts.
pub struct Remote {
    bound: Bound,
    tls: Option<TlsAcceptor>,
    token: Token,
}

impl Remote {
    /// Binds the address, or takes the socket that was left for it, and reads token and certificate;
    /// none if the manifest asks for none. Called once, before the host starts.
    ///
    /// # Errors
    /// If one of these cannot be had.
    pub fn prepare(
        application: &Application,
        left: &mut Left,
    ) -> Result<Option<Remote>, ControlError> {
        let Some(wanted) = &application.manifest.host.control else {
            return Ok(None);
        };
        let file = |path| deploy::resolve(&application.source, path);
        let token = Token::read(&file(&wanted.token_file.value))?;
        let tls = match &wanted.tls {
            Some(tls) => {
                let acceptor = listener::acceptor(&file(&tls.cert.value), &file(&tls.key.value))?;
                let mut config = ServerConfig::clone(acceptor.config());
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(TlsAcceptor::from(Arc::new(config)))
            }
            None => None,
        };
        let address = wanted.listen.value;
        let bound = left
            .bind(Purpose::Control, address)
            .map_err(|source| ControlError::Bind { address, source })?;
        Ok(Some(Remote { bound, tls, token }))
    }

    /// Where it listens.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Where it listens, as a URL.
    pub fn url(&self) -> Option<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let address = self.bound.socket.local_addr().ok()?;
        Some(format!("{scheme}://{address}"))
    }

    /// Serves until it is cancelled, and all connections with it. Once it is `closed` it takes no new
    /// ones.
    pub(super) async fn serve(
        self,
        router: Router,
        mut closed: watch::Receiver<bool>,
    ) -> std::io::Result<()> {
        let socket = TcpListener::from_std(self.bound.socket)?;
        let guard = Guard {
            token: self.token,
            secure: self.tls.is_some(),
        };
        let router = router.layer(middleware::from_fn_with_state(Arc::new(guard), checked));
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            // It is never closed.
            let Ok(place) = room.clone().acquire_owned().await else {
                return Ok(());
            };
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                _ = closed.wait_for(|closed| *closed) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::debug!("the control server cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let (router, tls) = (router.clone(), self.tls.clone());
            connections.spawn(async move {
                let _place = place;
                connection(stream, tls, router).await;
            });
        }
        drop(socket);
        while connections.join_next().await.is_some() {}
        Ok(())
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    let Some(tls) = tls else {
        return converse(stream, router).await;
    };
    if let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, tls.accept(stream)).await {
        converse(stream, router).await;
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_BYTES);
    let service = TowerToHyperService::new(router);
    // What goes wrong with a connection is its client's matter.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

/// What each request is checked against.
struct Guard {
    token: Token,
    secure: bool,
}

async fn checked(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
            let scheme = [(header::WWW_AUTHENTICATE, "Bearer realm=\"skep\"")];
            (scheme, problem).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

impl Guard {
    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if headers.contains_key(header::ORIGIN) {
            let pages = "the control API is not for web pages: a request with `Origin` is refused";
            return Err(Problem::new(StatusCode::FORBIDDEN, pages));
        }
        // A page whose name has been made to lead here has that name in its requests. With TLS its
        // browser has noticed already.
        if !self.secure && !is_literal(headers) {
            let named = "`Host` has to be an IP address or `localhost`, unless there is TLS";
            return Err(Problem::new(StatusCode::FORBIDDEN, named));
        }
        if !self.token.is_in(headers.get(header::AUTHORIZATION)) {
            let token = "send the token of `host.control`, as `Authorization: Bearer TOKEN`";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, token));
        }
        Ok(())
    }
}

/// Whether `Host` is there once and needs no name server.
fn is_literal(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let authority = host
        .to_str()
        .ok()
        .and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_that_has_to_be_looked_up_is_not_taken() {
        let taken = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
            }
            is_literal(&headers)
        };
        for host in [
            "127.0.0.1",
            "127.0.0.1:7070",
            "[::1]:7070",
            "localhost:1",
            "LOCALHOST",
        ] {
            assert!(taken(&[host]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:7070",
            "127.0.0.1.evil.example",
            "localhost.",
        ] {
            assert!(!taken(&[host]), "{host}");
        }
        assert!(!taken(&[]));
        assert!(!taken(&["127.0.0.1", "evil.example"]));
    }
}
