//! Handles, streams, fields, strings and random bytes by the million: what a guest can make the
//! host keep for it, or copy for it, ends at a limit.

use crate::member::{hostile, hostile_p3, wat};

members! {
    resources_of_its_own: wat("resources").traps("limits.handles");
    handles: hostile("/handles/10000000").traps("limits.handles");
    handles_p3: hostile_p3("/handles/10000000").traps("limits.handles");
    pollables: hostile("/pollables/10000000").traps("limits.handles");
    streams: hostile("/streams/10000000")
        .traps("limits.handles")
        .fails(502, "memory-limit", "limits.buffers");
    streams_p3: hostile_p3("/streams/10000000").traps("limits.handles");
    futures_p3: hostile_p3("/futures/10000000").traps("limits.handles");
    waits_p3: hostile_p3("/waits/10000000").traps("handle").traps("free keys");
    // Tasks of the guest's own are its own memory.
    tasks_p3: hostile_p3("/tasks/10000000").traps("").computes_too_long();
    sockets: hostile("/sockets/1000").answers("0 sockets");

    fields: hostile("/fields/1000000").traps("limits.headers");
    fields_p3: hostile_p3("/fields/1000000").answers("refused after");
    a_string_of_megabytes: hostile("/string/24000000").traps("");
    a_string_outside_of_memory: hostile("/string-outside").traps("");
    a_list_outside_of_memory: hostile("/list-outside").traps("");
    the_same_pollable_a_thousand_times: hostile("/poll-many/1000").answers("1000 are ready");
    the_same_pollable_a_million_times: hostile("/poll-many/1000000").traps("handle");
    more_pollables_than_a_call_may_hand_over: hostile("/poll-many/6000000").traps("");
    nothing_to_poll: hostile("/poll-none").traps("");

    random_bytes_beyond_all_memory: hostile("/random/18446744073709551615").traps("");
    random_bytes_beyond_all_memory_p3: hostile_p3("/random/18446744073709551615")
        .answers("1048576 bytes");
    random_bytes_in_gigabytes: hostile("/random-for-ever/1048576").computes_too_long();
}
