//! Places at which a test can end the process, or do something else, to see what a crash there leaves
//! behind.
//!
//! Without the feature `failpoints`, which no shipped build has, they are nothing. The crate `fail`
//! does the same; it switches on features of crates that wasmtime depends on, so that wasmtime would
//! have to be compiled once more for the tests.

/// Names a place. Names are `MODULE::STEP`.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::pass($name);
    };
}

#[cfg(feature = "failpoints")]
pub use armed::{from_environment, on, pass};

#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use parking_lot::Mutex;

    type Action = Arc<dyn Fn() + Send + Sync>;

    static ACTIONS: Mutex<BTreeMap<String, Action>> = Mutex::new(BTreeMap::new());

    /// From now on, whoever passes the place does this first. Replaces what was said of it before.
    pub fn on(name: &str, action: impl Fn() + Send + Sync + 'static) {
        ACTIONS.lock().insert(name.to_owned(), Arc::new(action));
    }

    /// `SKEP_FAILPOINT=NAME:FILE` ends this process at that place as soon as there is such a file, as a
    /// loss of power would: nothing is tidied up.
    pub fn from_environment() {
        let said = std::env::var("SKEP_FAILPOINT").unwrap_or_default();
        let Some((name, file)) = said.rsplit_once(':') else {
            return;
        };
        let file = std::path::PathBuf::from(file);
        on(name, move || {
            if file.exists() {
                std::process::abort();
            }
        });
    }

    /// Called at the place.
    pub fn pass(name: &str) {
        let action = ACTIONS.lock().get(name).cloned();
        if let Some(action) = action {
            action();
        }
    }
}
