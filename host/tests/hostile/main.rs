//! The zoo: every way in which a guest can misbehave, one row and one test each. What holds for all
//! of them is in `member`: the misdeed costs its own callers an error with the right label and the
//! right service named, the host is what it was before, and a bystander under load, in the same
//! host, notices nothing. The guests are `hostile`, `hostile-p3`,
//! `hostile-worker` and `bad-start` in `components/`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail and then shows the log, and its tasks end with its runtime"
)]

#[path = "../host/fixture/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the fixture serves other tests too"
)]
mod fixture;

/// Names each row and makes a test of it.
macro_rules! members {
    ($($name:ident: $member:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            $member.shown_harmless(stringify!($name)).await;
        }
    )*};
}

#[path = "../toll/mod.rs"]
mod toll;

mod bystander;
mod member;

mod answers;
mod artifacts;
mod beginnings;
mod computing;
mod files;
mod floods;
mod logs;
mod outgoing;
mod raw;
mod waiting;
mod workers;
