//! Records that come back as they went, and what a start makes of them.
use expect_test::{Expect, expect};
use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;
use crate::manifest::Manifest;

fn name(text: &str) -> ServiceName {
    ServiceName::parse(text).unwrap()
}

fn digest(bytes: &str) -> Digest {
    Digest::of(bytes.as_bytes())
}

fn reason() -> impl Strategy<Value = Reason> {
    let service = "[a-z][a-z0-9-]{0,8}".prop_map(|text| name(&text));
    prop_oneof![
        Just(Reason::Start),
        Just(Reason::Apply),
        service
            .clone()
            .prop_map(|service| Reason::Deploy { service }),
        proptest::collection::vec(service.clone(), 2..4)
            .prop_map(|services| Reason::DeployTogether { services }),
        (service, "\\PC*").prop_map(|(service, because)| Reason::Rollback { service, because }),
        (any::<u64>(), "\\PC*").prop_map(|(generation, because)| Reason::Restore {
            generation,
            because
        }),
    ]
}

fn generation() -> impl Strategy<Value = Generation> {
    let placed = (any::<u32>(), any::<[u8; 32]>(), "\\PC+", "\\PC*");
    let services = btree_map("[a-z][a-z0-9-]{0,8}", placed, 0..4);
    let parts = (
        any::<u64>(),
        any::<u64>(),
        reason(),
        "\\PC*",
        "\\PC*",
        "\\PC*",
        services,
    );
    parts.prop_map(|(number, made_ms, reason, path, text, base, services)| {
        let mut generation = Generation {
            number,
            made_ms,
            reason,
            path,
            manifest: digest(&text),
            services: BTreeMap::new(),
            base: Base {
                manifest: digest(&base),
                components: BTreeMap::new(),
            },
            manifests: BTreeMap::new(),
        };
        generation.keep_manifest(&text);
        generation.keep_manifest(&base);
        for (service, (revision, component, component_path, text)) in services {
            let component = Digest::from_bytes(component);
            let manifest = generation.keep_manifest(&text);
            let placed = Placed {
                revision,
                component,
                component_path,
                manifest,
            };
            generation.base.components.insert(name(&service), component);
            generation.services.insert(name(&service), placed);
        }
        generation
    })
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_went(generation in generation()) {
        let json = generation.to_json();
        prop_assert_eq!(Generation::from_json(&json).unwrap(), generation);
    }

    #[test]
    fn no_record_panics(generation in generation(), cut in any::<prop::sample::Index>(), garbage in "\\PC*") {
        let json = generation.to_json();
        let mut at = cut.index(json.len());
        while !json.is_char_boundary(at) {
            at -= 1;
        }
        let _ = Generation::from_json(&format!("{}{garbage}", &json[..at]));
        prop_assert!(Generation::from_json(&json[..at]).is_err());
    }
}

const CART: &str = "name = \"shop\"\n[service.cart]\ncomponent = \"cart.wasm\"\n";

/// A generation of what was applied, in which each service runs `runs` at revision 7.
fn applied(text: &str, files: &[(&str, &str)], runs: &[(&str, &str)]) -> Generation {
    let manifest = digest(text);
    let place = |(service, bytes): &(&str, &str)| {
        let placed = Placed {
            revision: 7,
            component: digest(bytes),
            component_path: "anywhere.wasm".into(),
            manifest,
        };
        (name(service), placed)
    };
    Generation {
        number: 3,
        made_ms: 1_795_389_445_000,
        reason: Reason::Deploy {
            service: name("cart"),
        },
        path: "skep.toml".into(),
        manifest,
        services: runs.iter().map(place).collect(),
        base: Base {
            manifest,
            components: components(files),
        },
        manifests: BTreeMap::from([(manifest, text.to_owned())]),
    }
}

fn components(files: &[(&str, &str)]) -> BTreeMap<ServiceName, Digest> {
    files
        .iter()
        .map(|(service, bytes)| (name(service), digest(bytes)))
        .collect()
}

fn check(last: &Generation, text: &str, files: &[(&str, &str)], expected: &Expect) {
    // The record has been written and read in between.
    let last = Generation::from_json(&last.to_json()).unwrap();
    let manifest = Manifest::parse(text).unwrap();
    let components = components(files);
    let found = Found {
        text,
        manifest: &manifest,
        components: &components,
    };
    let mut lines = String::new();
    for (service, resumed) in resume(&last, found) {
        let kept = match resumed.kept(&service, &last) {
            Some(placed) => format!(" at revision {}", placed.revision),
            None => String::new(),
        };
        let sources = (resumed.component, resumed.settings);
        lines += &format!("{service}{kept} {sources:?}: {resumed}\n");
    }
    expected.assert_eq(&lines);
}

#[test]
fn what_was_deployed_from_elsewhere_stays_while_nobody_touches_the_disk() {
    let last = applied(
        CART,
        &[("cart", "v1")],
        &[("cart", "v2, a fix from elsewhere")],
    );
    check(
        &last,
        CART,
        &[("cart", "v1")],
        &expect![[r#"
        cart at revision 7 (Record, Record): as recorded
    "#]],
    );
    let elsewhere = CART
        .replace("[service.cart]", "# A comment\n\n[service.cart] ")
        .replace("cart.wasm", "./build/cart.wasm");
    check(
        &last,
        &elsewhere,
        &[("cart", "v1")],
        &expect![[r#"
        cart at revision 7 (Record, Record): as recorded
    "#]],
    );
    check(
        &last,
        CART,
        &[],
        &expect![[r#"
        cart at revision 7 (Record, Record): as recorded; the component's file is not there any more
    "#]],
    );
}

#[test]
fn a_file_that_has_been_changed_since_is_taken() {
    let last = applied(CART, &[("cart", "v1")], &[("cart", "v2")]);
    check(
        &last,
        CART,
        &[("cart", "v3")],
        &expect![[r#"
        cart (Disk, Disk): from the manifest: its component was 3bfc269594ef and is e0d2747b9ab7 now
    "#]],
    );
    let moved = CART.replace("cart.wasm", "other.wasm");
    check(
        &last,
        &moved,
        &[("cart", "v3")],
        &expect![[r#"
        cart (Disk, Disk): from the manifest: its component was 3bfc269594ef and is e0d2747b9ab7 now
    "#]],
    );
    check(
        &last,
        &moved,
        &[],
        &expect![[r#"
        cart (Disk, Disk): from the manifest: its component was 3bfc269594ef and now is a file that is not there
    "#]],
    );
    // It was deployed from there.
    check(
        &last,
        CART,
        &[("cart", "v2")],
        &expect![[r#"
            cart at revision 7 (Record, Record): as recorded
        "#]],
    );
}

#[test]
fn settings_that_have_been_changed_since_are_taken_and_the_component_stays() {
    let last = applied(CART, &[("cart", "v1")], &[("cart", "v2")]);
    let limits = format!("{CART}limits.memory = \"128MiB\"\nstop-timeout = \"1s\"");
    check(
        &last,
        &limits,
        &[("cart", "v1")],
        &expect![[r#"
        cart (Record, Disk): the component as recorded, with new settings: limits.memory, stop-timeout
    "#]],
    );
    check(
        &last,
        &limits,
        &[],
        &expect![[r#"
        cart (Record, Disk): the component as recorded, with new settings: limits.memory, stop-timeout
    "#]],
    );
    check(
        &last,
        &limits,
        &[("cart", "v3")],
        &expect![[r#"
        cart (Disk, Disk): from the manifest: its component was 3bfc269594ef and is e0d2747b9ab7 now
    "#]],
    );
    // Routes are the application's, and how a component is made does not concern who runs it.
    let other = format!("{CART}routes = [\"/\"]\nbuild.command = \"make\"");
    check(
        &last,
        &other,
        &[("cart", "v1")],
        &expect![[r#"
        cart at revision 7 (Record, Record): as recorded
    "#]],
    );
}

#[test]
fn services_that_come_and_go_follow_the_manifest() {
    let two = format!("{CART}[service.pay]\ncomponent = \"pay.wasm\"\n");
    let last = applied(
        &two,
        &[("cart", "v1"), ("pay", "v1")],
        &[("cart", "v1"), ("pay", "v1")],
    );
    let other = two.replace("pay", "mail");
    check(
        &last,
        &other,
        &[("cart", "v1"), ("mail", "v1")],
        &expect![[r#"
            cart at revision 7 (Record, Record): as recorded
            mail (Disk, Disk): from the manifest, which did not have it before
        "#]],
    );
}

#[test]
fn a_base_that_cannot_be_read_any_more_gives_way_to_the_disk() {
    let last = applied(
        "of = \"another time\"",
        &[("cart", "v1")],
        &[("cart", "v2")],
    );
    check(
        &last,
        CART,
        &[("cart", "v1")],
        &expect![[r#"
        cart (Disk, Disk): from the manifest: the one that was last applied cannot be read by this version of Skep
    "#]],
    );
}

#[test]
fn a_rollback_of_settings_stays_too() {
    let older = format!("{CART}limits.memory = \"32MiB\"");
    let mut last = applied(CART, &[("cart", "v2")], &[("cart", "v1")]);
    let manifest = last.keep_manifest(&older);
    last.services.get_mut(&name("cart")).unwrap().manifest = manifest;
    check(
        &last,
        CART,
        &[("cart", "v2")],
        &expect![[r#"
        cart at revision 7 (Record, Record): as recorded
    "#]],
    );
    assert_eq!(last.text_for(&name("cart")), older);
    assert_eq!((last.text(), last.text_for(&name("pay"))), (CART, CART));
}

#[test]
fn bad_records_say_why() {
    let record = applied(CART, &[("cart", "v1")], &[("cart", "v2")]);
    let json = record.to_json();
    let without = Generation {
        manifests: BTreeMap::new(),
        ..record.clone()
    }
    .to_json();
    let rows = [
        (
            json.replacen("\"format\":1", "\"format\":2,\"new\":[]", 1),
            expect![
                "this generation was recorded by a later version of Skep (format 2; this one reads up to 1): run that version, or a later one"
            ],
        ),
        (
            json.replacen("\"format\":1,", "", 1),
            expect![
                "this record of a generation is damaged: missing field `format` at line 1 column 722"
            ],
        ),
        (
            json.replacen("\"number\":3", "\"number\":-3", 1),
            expect![
                "this record of a generation is damaged: invalid value: integer `-3`, expected u64"
            ],
        ),
        (
            json.replacen("\"number\":3", "\"number\":3,\"more\":1", 1),
            expect![
                "this record of a generation is damaged: unknown field `more`, expected one of `number`, `made_ms`, `reason`, `path`, `manifest`, `services`, `base`, `manifests`"
            ],
        ),
        (
            json.replacen("\"revision\":7", "\"revision\":\"7\"", 1),
            expect![[
                r#"this record of a generation is damaged: invalid type: string "7", expected u32"#
            ]],
        ),
        (
            json.replace("\"deploy\"", "\"magic\""),
            expect![
                "this record of a generation is damaged: unknown variant `magic`, expected one of `start`, `apply`, `deploy`, `deploy-together`, `rollback`, `restore`"
            ],
        ),
        (
            json.replace("name = ", "name= "),
            expect![
                "this record of a generation is damaged: the manifest 2d1db85208d9 has another digest"
            ],
        ),
        (
            without,
            expect![
                "this record of a generation is damaged: it names the manifest 2d1db85208d9 and does not have it"
            ],
        ),
        (
            String::new(),
            expect![
                "this record of a generation is damaged: EOF while parsing a value at line 1 column 0"
            ],
        ),
    ];
    for (json, expected) in rows {
        expected.assert_eq(&Generation::from_json(&json).unwrap_err().to_string());
    }
}

/// What has been written stays readable: that file is never changed.
#[test]
fn the_first_format_is_read_for_ever() {
    let json = include_str!("format-1.json");
    let record = applied(CART, &[("cart", "v1")], &[("cart", "v2")]);
    assert_eq!(Generation::from_json(json).unwrap(), record);
}
