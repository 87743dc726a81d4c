//! The one table from what went wrong on the wire to the error codes of `wasi:http`.

use std::error::Error as _;
use std::io;

use wasmtime_wasi_http::Error;

/// A TCP connection that could not be made.
pub(super) fn of_connect(error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Error::ConnectionRefused,
        Kind::TimedOut => Error::ConnectionTimeout,
        Kind::ConnectionReset | Kind::ConnectionAborted => Error::ConnectionTerminated,
        Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::NetworkDown => {
            Error::DestinationIpUnroutable
        }
        _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            tracing::error!(
                "no file descriptors left for an outgoing connection: raise the limit (ulimit -n)"
            );
            Error::ConnectionLimitReached
        }
        _ => Error::DestinationUnavailable,
    }
}

/// A TLS handshake that failed.
pub(super) fn of_tls(error: &io::Error) -> Error {
    let Some(inner) = error.get_ref() else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::ConnectionTerminated,
            _ => of_io(error),
        };
    };
    match inner.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Some(_) => Error::TlsProtocolError,
        None => of_io(error),
    }
}

/// A connection that failed before the head of the response was read.
pub(super) fn of_response(error: &hyper::Error, header_limit: usize) -> Error {
    if error.is_parse_too_large() {
        Error::HttpResponseHeaderSectionSize(u32::try_from(header_limit).ok())
    } else if error.is_incomplete_message() {
        Error::ConnectionTerminated
    } else {
        of_connection(error)
    }
}

/// A connection that failed in the middle of the response's body.
pub(super) fn of_body(error: &hyper::Error, header_limit: usize) -> Error {
    if error.is_parse_too_large() {
        Error::HttpResponseTrailerSectionSize(u32::try_from(header_limit).ok())
    } else if error.is_incomplete_message()
        || io_cause(error).is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof)
    {
        Error::HttpResponseIncomplete
    } else {
        of_connection(error)
    }
}

/// What is said in traces of a request that failed.
pub(super) fn label(error: &Error) -> &'static str {
    match error {
        Error::HttpRequestDenied | Error::DestinationIpProhibited => "denied",
        Error::ConnectionLimitReached => "queue-full",
        Error::DnsTimeout
        | Error::ConnectionTimeout
        | Error::ConnectionReadTimeout
        | Error::ConnectionWriteTimeout
        | Error::HttpResponseTimeout => "timeout",
        Error::DnsError { .. }
        | Error::DestinationNotFound
        | Error::DestinationUnavailable
        | Error::DestinationIpUnroutable
        | Error::ConnectionRefused => "unreachable",
        Error::TlsProtocolError | Error::TlsCertificateError | Error::TlsAlertReceived { .. } => {
            "tls"
        }
        Error::HttpResponseBodySize(_)
        | Error::HttpResponseHeaderSectionSize(_)
        | Error::HttpResponseTrailerSectionSize(_) => "response-too-large",
        _ => "broken-off",
    }
}

/// Whether the peer closed the connection instead of answering.
pub(super) fn is_close(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || matches!(of_connection(error), Error::ConnectionTerminated)
}

fn io_cause(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

fn of_connection(error: &hyper::Error) -> Error {
    if error.is_timeout() {
        Error::HttpResponseTimeout
    } else if error.is_canceled() || error.is_closed() {
        Error::ConnectionTerminated
    } else if let Some(io) = io_cause(error) {
        of_io(io)
    } else {
        Error::HttpProtocolError
    }
}

fn of_io(error: &io::Error) -> Error {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::NotConnected
        | Kind::UnexpectedEof => Error::ConnectionTerminated,
        Kind::TimedOut => Error::ConnectionTimeout,
        // hyper's chunked decoder speaks through io errors.
        _ => Error::HttpProtocolError,
    }
}
