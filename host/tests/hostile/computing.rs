//! Traps, loops and recursion; memory and tables without end.

use crate::member::{hostile, hostile_p3, wat};

members! {
    trap: hostile("/trap").traps("unreachable");
    trap_p3: hostile_p3("/trap").traps("unreachable");

    // The log gets a line of it, and the host copies no more than one call may hand over.
    panic_with_megabytes_of_text: hostile("/panic/4000000").traps("unreachable");
    panic_with_megabytes_of_text_p3: hostile_p3("/panic/4000000").traps("unreachable");

    exit_as_if_all_were_well: hostile("/exit/0").traps("");
    exit_with_a_code: hostile("/exit/7").traps("");
    exit_p3: hostile_p3("/exit/0").traps("");

    loop_in_a_handler: hostile("/spin").computes_too_long();
    loop_in_a_handler_p3: hostile_p3("/spin").computes_too_long();
    loop_after_the_head: hostile("/spin-after-head").breaks_off("cpu-limit").computes_too_long();
    loop_of_bulk_memory: hostile("/fill").computes_too_long();
    loop_in_a_destructor: wat("loop-in-destructor").computes_too_long();
    loop_in_realloc: wat("loop-in-realloc").computes_too_long();
    loop_in_post_return: wat("loop-in-post-return").computes_too_long();
    call_in_realloc: wat("call-in-realloc").traps("");
    realloc_outside_of_memory: wat("realloc-outside").traps("");

    // The stack that the guest keeps in its memory, and the one that the host gives it.
    recursion: hostile("/recurse").traps("out of bounds");
    recursion_p3: hostile_p3("/recurse").traps("");
    recursion_on_the_native_stack: wat("recursion").traps("stack exhausted");

    memory_without_end: hostile("/grow").traps("");
    memory_without_end_p3: hostile_p3("/grow").traps("");
    memory_to_the_last_page: hostile("/grow-pages").answers("334");
    table_without_end: wat("table-grow").traps("unreachable");

    // After its response a shared instance's tasks run on, and are still charged.
    trap_after_the_head_p3: hostile_p3("/trap-later").breaks_off("trap").traps("");
    loop_after_the_head_p3: hostile_p3("/spin-later").breaks_off("cpu-limit").computes_too_long();
}
