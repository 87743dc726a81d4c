//! Timers of no length and of all lengths, sleep without end, requests that nobody reads.

use crate::member::{hostile, hostile_p3};

/// More than lies in the buffers of sockets, less than `limits.request-body`.
const BODY: usize = 6 << 20;

members! {
    sleep_for_ever: hostile("/sleep").impatient().misses_its_deadline();
    sleep_for_ever_p3: hostile_p3("/sleep").impatient().misses_its_deadline().traps("");
    sleep_for_no_time_for_ever: hostile("/sleep-zero").computes_too_long();
    sleep_for_no_time_for_ever_p3: hostile_p3("/sleep-zero").impatient().computes_too_long().misses_its_deadline();
    timers_of_no_length_and_of_all: hostile("/timers").answers("[0, 4, 6]");
    timers_of_no_length_and_of_all_p3: hostile_p3("/timers").answers("waited");
    // A connection whose request is not read to its end is closed after the answer; a client that is
    // still sending then may find it closed before it has read the answer.
    body_that_nobody_reads: hostile("/unread").sent(BODY).answers("I do not read").breaks_off("ok");
    body_that_nobody_reads_p3: hostile_p3("/unread")
        .sent(BODY)
        .answers("I do not read")
        .breaks_off("ok");
    body_that_nobody_ever_reads: hostile("/unread-for-ever").sent(BODY).impatient().misses_its_deadline();
    body_that_nobody_ever_reads_p3: hostile_p3("/unread-for-ever")
        .sent(BODY)
        .impatient()
        .misses_its_deadline()
        .traps("");
    yields_for_ever_p3: hostile_p3("/yield").computes_too_long();
    yields_for_ever_on_its_stack_p3: hostile_p3("/yield-blocking").computes_too_long();
    // Those behind it on the same instance wait until their time is over; the next instance serves.
    no_further_request_p3: hostile_p3("/backpressure").impatient().answers("the last one").misses_its_deadline();
    no_further_request_by_far_p3: hostile_p3("/backpressure-for-ever").traps("").computes_too_long();
    timers_that_are_past: hostile("/past").answers("waited");
}
