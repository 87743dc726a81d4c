//! Handles, fields, strings, random bytes and lines of log, far more than anybody needs.
use std::mem::forget;

use wasip2::cli::{stderr, stdout};
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::Fields;
use wasip2::io::poll::poll;
use wasip2::random::random::get_random_bytes;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// Puts so many fields in one header list.
pub(crate) fn fields(count: u64) -> String {
    let fields = Fields::new();
    for n in 0..count {
        if let Err(error) = fields.append(&format!("x-flood-{n}"), b"a value of some length") {
            return format!("refused after {n}: {error:?}\n");
        }
    }
    format!("{count} fields\n")
}

pub(crate) fn handles(count: u64) -> String {
    (0..count).for_each(|_| forget(Fields::new()));
    format!("{count} handles\n")
}

/// Timers that never fire, each of them state in the host.
pub(crate) fn pollables(count: u64) -> String {
    (0..count).for_each(|_| forget(monotonic_clock::subscribe_duration(u64::MAX)));
    format!("{count} pollables\n")
}

pub(crate) fn streams(count: u64) -> String {
    (0..count).for_each(|_| forget((stdout::get_stdout(), stderr::get_stderr())));
    format!("{count} streams\n")
}

/// Each would be a descriptor of the host's.
pub(crate) fn sockets(count: u64) -> String {
    let mut made = 0;
    for _ in 0..count {
        let tcp = create_tcp_socket(IpAddressFamily::Ipv4);
        let udp = create_udp_socket(IpAddressFamily::Ipv6);
        made += u64::from(tcp.is_ok()) + u64::from(udp.is_ok());
        forget((tcp, udp));
    }
    format!("{made} sockets\n")
}

/// Waits for the same timer so many times over.
pub(crate) fn poll_many(count: u64) -> String {
    let timer = monotonic_clock::subscribe_duration(1_000_000);
    let ready = poll(&vec![&timer; count as usize]);
    format!("{} are ready\n", ready.len())
}

pub(crate) fn poll_none() -> String {
    format!("{} are ready\n", poll(&[]).len())
}

/// Hands the host a string of so many bytes.
pub(crate) fn string(bytes: u64) -> String {
    let text = "s".repeat(bytes as usize);
    match Fields::new().append("x-long", text.as_bytes()) {
        Ok(()) => format!("{bytes} bytes are taken\n"),
        Err(error) => format!("refused: {error:?}\n"),
    }
}

/// A string that says it is as long as half the address space.
pub(crate) fn string_outside() -> String {
    // SAFETY: on purpose not so. The host is the only reader and checks bounds; if it did not, the
    // test would see it.
    let text = unsafe { std::str::from_utf8_unchecked(outside(16, 0x7fff_ff00)) };
    format!("{}\n", Fields::new().get(text).len())
}

/// The same for a list, at an address that is not aligned either.
pub(crate) fn list_outside() -> String {
    // SAFETY: as above.
    let bytes = unsafe { outside(0xffff_0001, 0xf000) };
    format!("{:?}\n", Fields::new().append("x-long", bytes))
}

/// A slice of memory that the guest does not have.
unsafe fn outside(address: usize, length: usize) -> &'static [u8] {
    // SAFETY: the caller only hands it to the host.
    unsafe { std::slice::from_raw_parts(std::hint::black_box(address) as *const u8, length) }
}

pub(crate) fn random(bytes: u64) -> String {
    format!("{} bytes\n", get_random_bytes(bytes).len())
}

pub(crate) fn random_for_ever(bytes: u64) -> ! {
    loop {
        drop(std::hint::black_box(get_random_bytes(bytes)));
    }
}

/// Writes the same text without end.
pub(crate) fn log_lines(text: &str) -> ! {
    let out = stdout::get_stdout();
    let block = text.repeat(4096 / text.len());
    loop {
        let _ = out.blocking_write_and_flush(block.as_bytes());
    }
}

/// What would clear a terminal, retitle its window, or pass for a line of the host's own.
pub(crate) fn log_controls() -> String {
    let out = stdout::get_stdout();
    let text =
        b"\x1b[2J\x1b]0;owned\x07\x00\xff\xfe\r{\"level\":\"error\",\"service\":\"bystander\"}\n";
    let _ = out.blocking_write_and_flush(text);
    "written\n".to_string()
}

pub(crate) fn log_zeroes(count: u64) -> String {
    format!("{:?}\n", stdout::get_stdout().write_zeroes(count))
}

/// Writes more than `check-write` allowed.
pub(crate) fn log_over_permit() -> String {
    let out = stdout::get_stdout();
    let permit = out.check_write().unwrap_or(0);
    format!("{:?}\n", out.write(&vec![b'x'; permit as usize + 1]))
}
