//! Whatever the text, reading a manifest ends, without a panic, and each mistake has a place in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_core::manifest::Manifest;
use skep_core::route::RouteTable;

fuzz_target!(|text: &str| {
    match Manifest::parse(text) {
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            for mistake in mistakes {
                assert!(text.get(mistake.span.clone()).is_some(), "{mistake:?}");
                assert!(!mistake.message.is_empty());
            }
        }
        Ok(manifest) => {
            for service in manifest.services.values() {
                assert!(text.get(service.span_of("limits.memory")).is_some());
                assert!(service.limits.memory <= service.limits.memory_total);
                assert!(service.limits.cpu <= service.limits.deadline);
                assert!(service.instances.warm <= service.instances.max);
            }
            let routes = manifest.routes.iter();
            let specs = routes.map(|route| (route.spec.value.clone(), ())).collect();
            assert!(
                RouteTable::build(specs).is_ok(),
                "a checked manifest has no conflicts"
            );
        }
    }
});
