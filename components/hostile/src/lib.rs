//! Misbehaves by path. Each path is one misdeed, whole in itself, that host/tests/hostile shows to
//! hurt nobody but its own callers. Whatever a guest can do wrong before its first request is in
//! `bad-start` and in the WAT files of `wat/`.
mod answers;
mod compute;
mod files;
mod flood;
mod outgoing;
mod waiting;

use answer::{Target, text};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Hostile;
wasip2::http::proxy::export!(Hostile);

impl wasip2::exports::http::incoming_handler::Guest for Hostile {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let n = target.number(1);
        match target.segment(0) {
            // A request that is served, to show that the service still can.
            "" | "well" => text(out, 200, "well\n"),

            // Computing and memory.
            "trap" => compute::trap(),
            "panic" => compute::panic_at_length(n),
            "exit" => std::process::exit(i32::try_from(n).unwrap_or(1)),
            "spin" => compute::spin(),
            "spin-after-head" => compute::spin_after_head(out),
            "fill" => compute::fill(),
            "recurse" => text(out, 200, &format!("{}\n", compute::recurse(1))),
            "grow" => compute::grow(),
            "grow-pages" => text(out, 200, &compute::grow_pages()),

            // More of everything than the host should hold.
            "fields" => text(out, 200, &flood::fields(n)),
            "handles" => text(out, 200, &flood::handles(n)),
            "pollables" => text(out, 200, &flood::pollables(n)),
            "streams" => text(out, 200, &flood::streams(n)),
            "sockets" => text(out, 200, &flood::sockets(n)),
            "poll-many" => text(out, 200, &flood::poll_many(n)),
            "poll-none" => text(out, 200, &flood::poll_none()),
            "string" => text(out, 200, &flood::string(n)),
            "string-outside" => text(out, 200, &flood::string_outside()),
            "list-outside" => text(out, 200, &flood::list_outside()),
            "random" => text(out, 200, &flood::random(n)),
            "random-for-ever" => flood::random_for_ever(n),
            "log-lines" => flood::log_lines("a line that nobody wants to read\n"),
            "log-empty-lines" => flood::log_lines("\n"),
            "log-endless-line" => flood::log_lines("and on it goes "),
            "log-controls" => text(out, 200, &flood::log_controls()),
            "log-zeroes" => text(out, 200, &flood::log_zeroes(n)),
            "log-over-permit" => text(out, 200, &flood::log_over_permit()),

            // Answers.
            "set-twice" => answers::set_twice(out),
            "never" => drop(out),
            "never-for-ever" => answers::never_for_ever(out),
            "unfinished" => answers::unfinished(out),
            "half-then-hang" => answers::half_then_hang(out),
            "endless" => answers::endless(out),
            "no-flush" => answers::no_flush(out),
            "empty-writes" => answers::empty_writes(out),
            "zeroes" => answers::zeroes(out, n),
            "over-permit" => answers::over_permit(out),
            "length" => answers::length(out, n, target.number(2)),
            "two-lengths" => answers::two_lengths(out),
            "head" => answers::head(out, n, target.number(2)),
            "forbidden" => answers::forbidden(out),
            "forbidden-trailers" => answers::forbidden_trailers(out),
            "many-trailers" => answers::many_trailers(out, n),
            "status" => answers::status(out, n),
            "error" => answers::error_at_length(out, n),
            "unread" => answers::unread(&request, out),
            "unread-for-ever" => answers::unread_for_ever(&request),

            // Waiting.
            "sleep" => waiting::sleep(),
            "sleep-zero" => waiting::sleep_zero(),
            "timers" => text(out, 200, &waiting::timers()),
            "past" => text(out, 200, &waiting::past()),

            // Others' servers, and its own.
            "ask" => text(out, 200, &outgoing::ask(&target)),
            "ask-self" => outgoing::ask_self(&target, out),
            "ask-many" => text(out, 200, &outgoing::ask_many(&target)),
            "ask-denied" => text(out, 200, &outgoing::ask_denied(n)),
            "ask-upload" => text(out, 200, &outgoing::upload_for_ever(&target)),
            "ask-impatient" => text(out, 200, &outgoing::impatient(&target)),

            // Files.
            "list" => text(out, 200, &files::list(n)),
            "open" => text(out, 200, &files::open(n)),
            "paths" => text(out, 200, &files::paths(n)),
            "read-at" => text(out, 200, &files::read_at()),
            "links" => text(out, 200, &files::links()),
            "fifo" => text(out, 200, &files::fifo()),

            other => text(out, 404, &format!("hostile has no /{other}\n")),
        }
    }
}
