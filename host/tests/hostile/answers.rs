//! Responses that are none: set twice or never, never finished, without end, with lengths that are
//! not true and fields that are not a guest's to set.

use crate::fixture::{Host, Reply};
use crate::member::{hostile, hostile_p3};

members! {
    response_set_twice: hostile("/set-twice").traps("");
    response_never_set: hostile("/never").fails(502, "no-response", "without a response");
    response_given_up_and_then_nothing: hostile("/never-for-ever")
        .impatient()
        .fails(502, "no-response", "")
        .misses_its_deadline();
    response_never_p3: hostile_p3("/never").impatient().misses_its_deadline().traps("");

    body_unfinished: hostile("/unfinished").breaks_off("unfinished-body").fails(502, "unfinished-body", "");
    body_never_finished: hostile("/half-then-hang").impatient().breaks_off("deadline");
    body_never_finished_p3: hostile_p3("/half-then-hang").impatient().breaks_off("deadline");
    body_without_end: hostile("/endless").breaks_off("response-too-large").breaks_off("cpu-limit");
    body_without_end_p3: hostile_p3("/endless").breaks_off("response-too-large").breaks_off("cpu-limit");
    body_in_one_piece_p3: hostile_p3("/one-piece/8000000").answers("pppp");
    body_ended_by_an_error_p3: hostile_p3("/body-error/4000000").breaks_off("invalid-body");
    trailers_that_never_come_p3: hostile_p3("/no-trailers-ever")
        .impatient()
        .breaks_off("deadline")
        .breaks_off("invalid-body");

    writes_without_flush: hostile("/no-flush")
        .breaks_off("cpu-limit")
        .breaks_off("response-too-large")
        .computes_too_long();
    empty_writes: hostile("/empty-writes").breaks_off("cpu-limit").breaks_off("trap").computes_too_long();
    empty_writes_p3: hostile_p3("/empty-writes").breaks_off("cpu-limit").computes_too_long();
    zeroes_beyond_all_memory: hostile("/zeroes/18446744073709551615").breaks_off("trap").traps("");
    writes_beyond_the_permit: hostile("/over-permit").breaks_off("trap").traps("");

    less_than_its_length: hostile("/length/100/50")
        .breaks_off("invalid-body")
        .breaks_off("unfinished-body")
        .fails(502, "unfinished-body", "");
    more_than_its_length: hostile("/length/50/100")
        .breaks_off("invalid-body")
        .breaks_off("unfinished-body")
        .fails(502, "unfinished-body", "");
    less_than_its_length_p3: hostile_p3("/length").breaks_off("invalid-body");
    more_than_its_length_p3: hostile_p3("/over-length").breaks_off("invalid-body");
    two_lengths: hostile("/two-lengths").answers("refused").traps("");

    a_head_of_ten_thousand_fields: hostile("/head/10000/10").traps("limits.headers");
    a_head_of_megabytes: hostile("/head/1000/10000").traps("limits.headers");
    a_head_of_many_fields_p3: hostile_p3("/head/10000").answers("refused after");
    a_head_of_as_many_fields_as_fit: hostile("/head/90/500").answers("").and(is_one_response);
    forbidden_fields: hostile("/forbidden").answers("accepted: []").and(has_no_forbidden_field);
    forbidden_trailers: hostile("/forbidden-trailers").answers("body").and(has_no_forbidden_trailer);
    forbidden_trailers_p3: hostile_p3("/forbidden-trailers")
        .answers("body")
        .and(has_no_forbidden_trailer);
    as_many_trailers_as_fit: hostile("/many-trailers/300").answers("body");
    too_many_trailers: hostile("/many-trailers/100000").breaks_off("trap").traps("limits.headers");
    status_below_all: hostile("/status/0").answers("refused");
    status_above_all: hostile("/status/65535").answers("refused");
    status_that_is_no_answer: hostile("/status/103").fails(502, "error-code", "informational");
    status_that_ends_http: hostile("/status/101").fails(502, "error-code", "informational");
    an_error_with_megabytes_of_text: hostile("/error/4000000").fails(502, "error-code", "own words");
    an_error_with_megabytes_of_text_p3: hostile_p3("/error/4000000")
        .fails(502, "error-code", "own words");
}

fn is_one_response(_: &Host, replies: &[Reply]) {
    for reply in replies {
        assert!(reply.headers.len() >= 90, "{reply:?}");
    }
}

fn has_no_forbidden_field(_: &Host, replies: &[Reply]) {
    for reply in replies {
        for name in [
            "upgrade",
            "keep-alive",
            "host",
            "skep-depth",
            "set-cookie",
            "x-split",
        ] {
            assert!(!reply.headers.contains_key(name), "{reply:?}");
        }
    }
}

fn has_no_forbidden_trailer(_: &Host, replies: &[Reply]) {
    for reply in replies {
        if let Some(trailers) = &reply.trailers {
            for name in ["content-length", "transfer-encoding", "set-cookie", "host"] {
                assert!(!trailers.contains_key(name), "{reply:?}");
            }
        }
    }
}
