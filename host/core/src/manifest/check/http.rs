//! `[http]`: the listener's part of a manifest.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::file::{HttpFile, HttpLimitsFile, TlsFile};
use super::super::leaf::Listen;
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::super::{Http, LISTEN, Tls};
use super::Checker;
use crate::limits::{self, HttpLimits};
use crate::size::ByteSize;
use crate::spanned::Spanned;

/// The shortest time-out that a client gets: less than a packet's way around the world.
const CLIENT_TIMEOUT_MIN: Duration = Duration::from_millis(10);

impl Checker {
    pub(super) fn http(&mut self, field: &Field<HttpFile>) -> Option<Http> {
        let empty = HttpFile::default();
        let file = good(field).map_or(&empty, |file| &file.value);
        let listen = self.listen(file);
        let tls = match &file.tls {
            None => Some(None),
            Some(Entry::Bad) => None,
            Some(Entry::Good(tls)) => self.tls(tls).map(Some),
        };
        let limits = self.http_limits(&file.limits);
        let drain_timeout = self.time_between(
            &file.drain_timeout,
            "drain-timeout",
            Duration::ZERO..=limits::STOP_TIMEOUT_MAX,
        );
        let trusted = good(&file.trusted_proxies);
        Some(Http {
            listen: listen?,
            tls: tls?,
            trusted_proxies: trusted
                .map(|list| list.iter().map(|network| network.value).collect())
                .unwrap_or_default(),
            access_log: good(&file.access_log).is_none_or(|log| log.value),
            log_calls: good(&file.log_calls).is_some_and(|log| log.value),
            limits,
            drain_timeout: drain_timeout.unwrap_or(limits::DRAIN_TIMEOUT),
        })
    }

    fn listen(&mut self, file: &HttpFile) -> Option<Vec<Spanned<SocketAddr>>> {
        let listen = match &file.listen {
            Some(Entry::Good(listen)) => listen,
            Some(Entry::Bad) => return None,
            None => {
                let default = LISTEN.parse().ok()?;
                return Some(vec![Spanned::new(default, 0..0)]);
            }
        };
        let plain = |listen: &Spanned<Listen>| listen.clone().map(|listen| listen.0);
        let addresses: Vec<_> = listen.value.0.iter().map(plain).collect();
        if addresses.is_empty() {
            self.note(
                Mistake::new(
                    "no-listen",
                    listen.span.clone(),
                    "the application listens nowhere",
                )
                .label("empty")
                .help(format!("write listen = \"{LISTEN}\"")),
            );
        }
        let mut seen = BTreeMap::new();
        // Port 0 is another port each time.
        for address in addresses.iter().filter(|address| address.port() != 0) {
            let first = *seen.entry(address.value).or_insert(address.span.start);
            if first != address.span.start {
                let what = format!("the address {}", address.value);
                self.duplicate("duplicate-listen", address.span.clone(), &what, first);
            }
        }
        Some(addresses)
    }

    pub(super) fn tls(&mut self, file: &Spanned<TlsFile>) -> Option<Tls> {
        let span = || file.span.clone();
        let cert = self.required(&file.cert, "cert", span(), "`tls`", "cert = \"cert.pem\"");
        let key = self.required(&file.key, "key", span(), "`tls`", "key = \"key.pem\"");
        Some(Tls {
            cert: cert?.clone(),
            key: key?.clone(),
        })
    }

    fn http_limits(&mut self, field: &Field<HttpLimitsFile>) -> HttpLimits {
        let default = HttpLimits::default();
        let Some(file) = good(field) else {
            return default;
        };
        let time = CLIENT_TIMEOUT_MIN..=limits::CLIENT_TIMEOUT_MAX;
        let mut count = |field, key, most, default| {
            self.count_between(field, key, 1..=most)
                .map_or(default, |count| count.value)
        };
        let connections = count(
            &file.connections,
            "connections",
            limits::CONNECTIONS_MAX,
            default.connections,
        );
        let header_count = count(
            &file.header_count,
            "header-count",
            limits::HEADER_COUNT_MAX,
            default.header_count,
        );
        let streams = count(
            &file.streams,
            "streams",
            limits::STREAMS_MAX,
            default.streams,
        );
        let header_bytes = self.size_between(
            &file.header_bytes,
            "header-bytes",
            limits::HEADER_BYTES_MIN..=limits::HEADER_BYTES_MAX,
        );
        let mut rate = |field, key, default| {
            self.size_between(field, key, ByteSize::bytes(0)..=limits::CLIENT_RATE_MAX)
                .map_or(default, |rate| rate.value)
        };
        let body_rate = rate(&file.body_rate, "body-rate", default.body_rate);
        let write_rate = rate(&file.write_rate, "write-rate", default.write_rate);
        let mut timeout = |field, key, default| {
            self.time_between(field, key, time.clone())
                .unwrap_or(default)
        };
        HttpLimits {
            connections,
            header_bytes: header_bytes.map_or(default.header_bytes, |bytes| bytes.value),
            header_count,
            header_timeout: timeout(
                &file.header_timeout,
                "header-timeout",
                default.header_timeout,
            ),
            idle_timeout: timeout(&file.idle_timeout, "idle-timeout", default.idle_timeout),
            body_timeout: timeout(&file.body_timeout, "body-timeout", default.body_timeout),
            body_rate,
            write_timeout: timeout(&file.write_timeout, "write-timeout", default.write_timeout),
            write_rate,
            streams,
        }
    }
}
