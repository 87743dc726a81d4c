//! The ways to fail that the matrix of failures and stages has. The guests called `failing` say
//! where it happens; this says what happens.
use std::hint::black_box;
use std::time::Duration;

mod bindings {
    wit_bindgen::generate!({ world: "failing", path: "wit" });
}

/// One way to fail, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Trap,
    /// Computes for ever.
    Cpu,
    /// Waits for ever, in the host.
    Deadline,
    /// Takes memory until it gets no more, and aborts.
    Memory,
    /// Calls a host function that panics.
    HostPanic,
}

unsafe extern "C" {
    /// What libc and the program do first: directories are not there before.
    fn __wasm_call_ctors();
}

/// Fails if it is time to, while the instance is being made: to be called by an exported function
/// `_initialize`, which runs before any other.
pub fn at_instantiation() {
    // SAFETY: nothing else of the program has run yet. wit-bindgen calls it again at the first call
    // of an export; these guests have nothing that minds.
    unsafe { __wasm_call_ctors() };
    if let Some(failure) = Failure::due_at("instantiate") {
        failure.happen()
    }
}

const BLOCK: usize = 1024 * 1024;
const FOR_EVER: Duration = Duration::from_secs(3600);

impl Failure {
    pub fn named(name: &str) -> Option<Failure> {
        Some(match name {
            "trap" => Failure::Trap,
            "cpu" => Failure::Cpu,
            "deadline" => Failure::Deadline,
            "memory" => Failure::Memory,
            "host-panic" => Failure::HostPanic,
            _ => return None,
        })
    }

    /// What `FAIL` in the environment says, if `FAIL_AT` says that this is the stage, and only once
    /// the file is there that `FAIL_ONCE` names, if it names one.
    pub fn due_at(stage: &str) -> Option<Failure> {
        let at = std::env::var("FAIL_AT").unwrap_or_default();
        let how = std::env::var("FAIL").unwrap_or_default();
        let early = std::env::var("FAIL_ONCE").is_ok_and(|file| std::fs::metadata(file).is_err());
        (at == stage && !early).then(|| Failure::named(&how))?
    }

    #[inline(never)]
    pub fn happen(self) -> ! {
        match self {
            Failure::Trap => core::arch::wasm32::unreachable(),
            Failure::Cpu => loop {
                black_box(());
            },
            Failure::Deadline => loop {
                std::thread::sleep(FOR_EVER);
            },
            Failure::Memory => loop {
                std::mem::forget(black_box(vec![1u8; BLOCK]));
            },
            Failure::HostPanic => {
                bindings::skep::testing::harm::panic();
                unreachable!("the host was to panic")
            }
        }
    }
}
