//! What goes wrong before a guest has been asked anything: in start functions and constructors, in
//! what it wants to begin with. The service does not open, or its callers get an error, and no more.

use crate::member::{bad_start, wat};

members! {
    loop_in_the_start_function: wat("loop-in-start").never_starts();
    trap_in_the_start_function: wat("trap-in-start").never_starts();
    memory_in_the_start_function: wat("grow-in-start").never_starts();

    loop_in_a_constructor: bad_start("spin").computes_too_long();
    trap_in_a_constructor: bad_start("trap").traps("unreachable");
    panic_in_a_constructor: bad_start("panic").traps("unreachable");
    sleep_in_a_constructor: bad_start("sleep").impatient().misses_its_deadline();
    memory_in_a_constructor: bad_start("grow").traps("");
}
