//! What a manifest says of connections and of requests before they come to a service.

use skep_core::manifest::Manifest;

use crate::gateway;
use crate::lag::Pace;
use crate::listener::ConnectionLimits;

/// What differs and is read once, when the host starts.
pub(super) fn needs_new_start(before: &Manifest, wanted: &Manifest) -> Vec<&'static str> {
    let rows = [
        ("name", before.name != wanted.name),
        ("http.listen", before.http.listen != wanted.http.listen),
        ("http.tls", before.http.tls != wanted.http.tls),
        (
            "http.limits",
            connection_limits(before) != connection_limits(wanted),
        ),
        ("[host]", before.host != wanted.host),
    ];
    let differs = |(key, differs): &(&'static str, bool)| differs.then_some(*key);
    rows.iter().filter_map(differs).collect()
}

/// What connections are held to.
pub(crate) fn connection_limits(manifest: &Manifest) -> ConnectionLimits {
    let limits = &manifest.http.limits;
    ConnectionLimits {
        connections: limits.connections as usize,
        header_bytes: limits.header_bytes.as_usize(),
        header_count: limits.header_count as usize,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        write_timeout: limits.write_timeout,
        streams: limits.streams,
    }
}

pub(super) fn gateway_settings(manifest: &Manifest) -> gateway::Settings {
    let http = &manifest.http;
    gateway::Settings {
        access_log: http.access_log,
        log_calls: http.log_calls,
        trusted_proxies: http.trusted_proxies.clone(),
        header_bytes: http.limits.header_bytes.as_u64(),
        header_count: http.limits.header_count as usize,
        body_pace: Pace {
            most: http.limits.body_timeout,
            rate: http.limits.body_rate.as_u64(),
        },
        write_pace: Pace {
            most: http.limits.write_timeout,
            rate: http.limits.write_rate.as_u64(),
        },
    }
}
