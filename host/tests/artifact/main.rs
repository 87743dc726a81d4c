//! Components from file to running code: the compiler's process, the compiled cache, `inspect`, `componentize`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod componentize;
mod functions;

use std::fs::{File, OpenOptions, Permissions};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use skep::artifact::{
    Artifact, Cache, CacheError, CacheSettings, CompileError, CompileIn, CompileLimits, Compiled,
    Origin,
};
use skep::engine::{self, Allocation, Kind};
use tempfile::TempDir;
use wasmtime::component::Linker;
use wasmtime::{Engine, Store};

const SKEP: &str = env!("CARGO_BIN_EXE_skep");

/// Room for whatever one test does; the directory goes with it.
struct Bench {
    root: TempDir,
    engine: Engine,
}

impl Bench {
    fn new() -> Bench {
        Bench::of(Kind::Serial)
    }

    fn of(kind: Kind) -> Bench {
        Bench {
            root: tempfile::tempdir().unwrap(),
            engine: Engine::new(&engine::config(kind, Allocation::OnDemand)).unwrap(),
        }
    }

    fn settings(&self) -> CacheSettings {
        CacheSettings {
            directory: Some(self.root.path().join("cache")),
            ..CacheSettings::new(CompileIn::ThisProcess)
        }
    }

    /// As another host would see it: nothing is remembered but what is on disk.
    fn cache(&self) -> Cache {
        Cache::open(&self.engine, self.settings()).unwrap()
    }

    fn compiling_in_child(&self, limits: CompileLimits) -> Cache {
        let settings = CacheSettings {
            compile_in: CompileIn::Process(SKEP.into()),
            limits,
            ..self.settings()
        };
        Cache::open(&self.engine, settings).unwrap()
    }

    /// Calls `answer`, which proves that what was loaded is code and the right one.
    fn answer(&self, compiled: &Compiled) -> u32 {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = Linker::new(&self.engine)
            .instantiate(&mut store, &compiled.component)
            .unwrap();
        let function = instance
            .get_typed_func::<(), (u32,)>(&mut store, "answer")
            .unwrap();
        function.call(&mut store, ()).unwrap().0
    }

    fn entry(&self) -> PathBuf {
        let mut entries = entries(&self.root.path().join("cache/compiled-1"));
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }
}

/// A component whose `answer` is `number`, with `padding` bytes of data.
fn answering(number: u32, padding: usize) -> Artifact {
    let pages = padding / 65536 + 1;
    let data = "x".repeat(padding);
    let wat = format!(
        r#"(component
             (core module $m
               (memory {pages})
               (data (i32.const 0) "{data}")
               (func (export "answer") (result i32) (i32.const {number})))
             (core instance $i (instantiate $m))
             (func (export "answer") (result u32) (canon lift (core func $i "answer"))))"#
    );
    let bytes = wat::parse_str(wat).unwrap();
    Artifact::from_bytes(format!("answer-{number}.wasm"), bytes).unwrap()
}

/// Well-formed to the last section, with a function that does not keep its promise.
fn invalid() -> Artifact {
    let good = answering(1, 0);
    let mut bytes = good.bytes().unwrap().to_vec();
    // `i32.const 1` becomes `i64.const 1`.
    let at = bytes
        .windows(3)
        .rposition(|code| code == [0x41, 0x01, 0x0b])
        .unwrap();
    bytes[at] = 0x42;
    Artifact::from_bytes("invalid.wasm", bytes).unwrap()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    files(directory)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|found| found == "cwasm"))
        .collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn compiled_once_then_shared_then_loaded() {
    let bench = Bench::new();
    let artifact = answering(42, 0);
    let cache = bench.cache();
    let first = cache.component(&artifact).unwrap();
    let second = cache.component(&artifact.clone()).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert!(matches!(first.origin, Origin::Compiler(_)));
    assert_eq!(bench.answer(&first), 42);
    let stats = cache.stats();
    assert_eq!((stats.compiled, stats.shared, stats.loaded), (1, 1, 0));

    // Nobody holds it any more: from disk, without the compiler.
    drop((first, second));
    let third = cache.component(&artifact).unwrap();
    assert_eq!(third.origin, Origin::Disk);

    let elsewhere = bench.cache();
    let fourth = elsewhere.component(&artifact).unwrap();
    assert_eq!(bench.answer(&fourth), 42);
    assert_eq!(elsewhere.stats().loaded, 1);
    assert_eq!(elsewhere.stats().compiled, 0);
}

#[test]
fn many_at_once_compile_once() {
    let bench = Bench::new();
    let cache = bench.cache();
    let artifacts = [answering(1, 0), answering(2, 0)];
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|i| {
                let (cache, artifact) = (&cache, &artifacts[i % 2]);
                scope.spawn(move || cache.component(artifact).unwrap())
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(cache.stats().compiled, 2);
    assert_eq!(cache.stats().shared, 30);
    for (i, compiled) in all.iter().enumerate() {
        assert_eq!(bench.answer(compiled), if i % 2 == 0 { 1 } else { 2 });
    }
}

#[test]
fn the_compiler_runs_in_a_child() {
    let bench = Bench::new();
    let cache = bench.compiling_in_child(CompileLimits::default());
    let compiled = cache.component(&answering(7, 1000)).unwrap();
    assert_eq!(bench.answer(&compiled), 7);
    assert_eq!(
        bench.cache().component(&answering(7, 1000)).unwrap().origin,
        Origin::Disk
    );
}

#[test]
fn every_end_of_the_compiler_is_told_apart() {
    let bench = Bench::new();
    let ample = CompileLimits::default();
    let big = big_component();
    let error = |limits, artifact: &Artifact| {
        let cache = bench.compiling_in_child(limits);
        cache.component(artifact).map(|_| ()).unwrap_err()
    };

    let refused = error(ample, &invalid());
    assert!(matches!(refused, CompileError::Refused { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("refuses component `invalid.wasm`"),
        "{refused}"
    );
    assert!(refused.to_string().contains("type mismatch"), "{refused}");
    let here = bench.cache().component(&invalid()).map(|_| ()).unwrap_err();
    assert_eq!(here.to_string(), refused.to_string());

    let over = error(
        CompileLimits {
            memory: 96 << 20,
            ..ample
        },
        &big,
    );
    assert!(
        over.to_string().contains("more than 96 MiB of memory"),
        "{over}"
    );
    let over = error(
        CompileLimits {
            cpu: Duration::from_secs(1),
            ..ample
        },
        &big,
    );
    assert!(
        over.to_string().contains("more than 1 s of processor time"),
        "{over}"
    );
    let began = Instant::now();
    let over = error(
        CompileLimits {
            wall: Duration::from_millis(200),
            ..ample
        },
        &big,
    );
    assert!(matches!(over, CompileError::OverLimit { .. }), "{over}");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );

    // Nothing half-done is left, and the next one is not disturbed.
    assert!(
        files(&bench.root.path().join("cache/compiled-1"))
            .iter()
            .all(|path| path.ends_with("key"))
    );
    let cache = bench.compiling_in_child(ample);
    assert_eq!(bench.answer(&cache.component(&answering(3, 0)).unwrap()), 3);
}

/// Enough functions to keep the compiler busy for some ten seconds.
fn big_component() -> Artifact {
    use std::fmt::Write as _;
    let mut module = String::from("(component (core module");
    for i in 0..4000 {
        write!(module, "(func (param i64 i64) (result i64) (local i64)").unwrap();
        for j in 0..40 {
            write!(
                module,
                "(local.set 2 (i64.add (local.get {}) (i64.mul (local.get 2) (i64.const {}))))
                 (if (i64.eqz (local.get 2)) (then (local.set 0 (i64.const {i}))))",
                j % 3,
                i * j
            )
            .unwrap();
        }
        module.push_str("(local.get 2))");
    }
    module.push_str("))");
    Artifact::from_bytes("big.wasm", wat::parse_str(module).unwrap()).unwrap()
}

#[test]
fn a_missing_or_foreign_compiler_is_named() {
    let bench = Bench::new();
    for (exe, expected) in [
        (
            "/nonexistent/skep",
            "cannot run the compiler `/nonexistent/skep`",
        ),
        ("/bin/false", "ended with code 1"),
        // Says it is done and has written nothing.
        ("/bin/true", "`/bin/true` is not the skep executable"),
    ] {
        let settings = CacheSettings {
            compile_in: CompileIn::Process(exe.into()),
            ..bench.settings()
        };
        let cache = Cache::open(&bench.engine, settings).unwrap();
        let error = cache.component(&answering(1, 0)).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{exe}: {error}");
    }
}

#[test]
fn the_compiler_is_for_the_host_alone() {
    let run = |arguments: &[&str]| {
        let output = Command::new(SKEP)
            .arg("compile")
            .args(arguments)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, text) = run(&[]);
    assert_eq!(code, Some(70));
    assert!(text.contains("for the host alone"), "{text}");
    let hash = "00".repeat(32);
    let own = std::process::id().to_string();
    let memory = (4_u64 << 30).to_string();
    let (code, text) = run(&[&hash, &memory, "60", &own, "-", "-"]);
    assert_eq!(code, Some(70));
    assert!(text.contains("different versions"), "{text}");
    let (code, text) = run(&[&hash, &memory, "60", "1", "-", "-"]);
    assert_eq!(code, Some(70));
    assert!(text.contains("has ended"), "{text}");
}

#[test]
fn damaged_entries_are_found_deleted_and_compiled_anew() {
    let bench = Bench::new();
    let artifact = answering(9, 0);
    drop(bench.cache().component(&artifact).unwrap());
    let entry = bench.entry();
    let good = std::fs::read(&entry).unwrap();

    let check = |what: &str| {
        let cache = bench.cache();
        let compiled = cache.component(&artifact).unwrap();
        assert_eq!(bench.answer(&compiled), 9, "{what}");
        let stats = cache.stats();
        assert_eq!((stats.discarded, stats.compiled), (1, 1), "{what}");
        assert_eq!(std::fs::read(&entry).unwrap(), good, "{what}");
    };

    // Every bit is flipped in the unit tests of the entry's form; here the whole way is gone.
    let bits = good.len() * 8;
    for bit in (0..bits).step_by(bits / 100).chain([bits - 1]) {
        let file = OpenOptions::new().write(true).open(&entry).unwrap();
        file.write_all_at(&[good[bit / 8] ^ (1 << (bit % 8))], (bit / 8) as u64)
            .unwrap();
        check(&format!("bit {bit}"));
    }
    for length in [0, 1, 119, 120, good.len() / 2, good.len() - 1] {
        std::fs::write(&entry, &good[..length]).unwrap();
        check(&format!("cut to {length}"));
    }
    std::fs::write(&entry, [&good[..], b"x"].concat()).unwrap();
    check("one byte more");
    std::fs::write(
        &entry,
        bench
            .engine
            .precompile_component(&artifact.bytes().unwrap())
            .unwrap(),
    )
    .unwrap();
    check("code without a seal");

    // Another component's entry under this name: sound, but not ours.
    let other = Bench::new();
    drop(other.cache().component(&answering(10, 0)).unwrap());
    std::fs::copy(other.entry(), &entry).unwrap();
    check("another host's entry");
    let cache = bench.cache();
    drop(cache.component(&answering(10, 0)).unwrap());
    let ten = entries(cache.directory())
        .into_iter()
        .find(|path| *path != entry)
        .unwrap();
    std::fs::rename(ten, &entry).unwrap();
    check("another component's entry");

    let aside = bench.root.path().join("aside");
    std::fs::rename(&entry, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &entry).unwrap();
    check("a symbolic link");
    assert!(!entry.is_symlink());
}

#[test]
fn a_directory_in_an_entrys_place_costs_only_time() {
    let bench = Bench::new();
    drop(bench.cache().component(&answering(4, 0)).unwrap());
    let entry = bench.entry();
    std::fs::remove_file(&entry).unwrap();
    std::fs::create_dir(&entry).unwrap();
    let cache = bench.cache();
    assert_eq!(bench.answer(&cache.component(&answering(4, 0)).unwrap()), 4);
    assert_eq!(cache.stats().compiled, 1);
}

#[test]
fn the_key_is_private_and_replaced_when_it_is_not() {
    let bench = Bench::new();
    let artifact = answering(5, 0);
    drop(bench.cache().component(&artifact).unwrap());
    let key = bench.root.path().join("cache/compiled-1/key");
    let first = std::fs::read(&key).unwrap();
    assert_eq!(key.metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(first.len(), 64);

    let replaced = |why: &str| {
        let before = std::fs::read(&key).unwrap();
        let cache = bench.cache();
        assert_eq!(bench.answer(&cache.component(&artifact).unwrap()), 5);
        // Sealed with a key that others may know: not taken.
        assert_eq!(cache.stats().discarded, 1, "{why}");
        assert_ne!(std::fs::read(&key).unwrap(), before, "{why}");
        assert_eq!(key.metadata().unwrap().mode() & 0o777, 0o600);
    };
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    replaced("readable by others");
    std::fs::write(&key, b"short").unwrap();
    replaced("cut off");
    std::fs::remove_file(&key).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &key).unwrap();
    assert!(matches!(
        open_error(&bench),
        None | Some(CacheError::Io { .. })
    ));
}

fn open_error(bench: &Bench) -> Option<CacheError> {
    Cache::open(&bench.engine, bench.settings()).err()
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let bench = Bench::new();
    drop(bench.cache());
    let root = bench.root.path().join("cache");
    let entries = root.join("compiled-1");
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!((mode(&root), mode(&entries)), (0o700, 0o700));

    for (path, bits) in [
        (&root, 0o777),
        (&root, 0o770),
        (&entries, 0o777),
        (&entries, 0o720),
    ] {
        std::fs::set_permissions(path, Permissions::from_mode(bits)).unwrap();
        let error = open_error(&bench).unwrap();
        assert!(matches!(error, CacheError::Unsafe { .. }), "{error}");
        assert!(error.to_string().contains("write in it"), "{error}");
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    }
    // Only readable: made private, and used.
    std::fs::set_permissions(&entries, Permissions::from_mode(0o755)).unwrap();
    drop(bench.cache());
    assert_eq!(mode(&entries), 0o700);
    // A link could lead anywhere.
    std::fs::rename(&entries, root.join("aside")).unwrap();
    std::os::unix::fs::symlink(root.join("aside"), &entries).unwrap();
    assert!(matches!(
        open_error(&bench),
        Some(CacheError::Unsafe { .. })
    ));

    // SAFETY: returns a number.
    if unsafe { libc::geteuid() } == 0 {
        std::os::unix::fs::chown(&root, Some(12345), None).unwrap();
        let error = open_error(&bench).unwrap();
        assert!(
            error.to_string().contains("belongs to user 12345"),
            "{error}"
        );
    }
}

#[test]
fn without_a_directory_the_cache_is_private_and_gone_afterwards() {
    let bench = Bench::new();
    let blocked = bench.root.path().join("file");
    File::create(&blocked).unwrap();
    let settings = CacheSettings {
        directory: Some(blocked.join("cache")),
        ..bench.settings()
    };
    let cache = Cache::open(&bench.engine, settings).unwrap();
    let directory = cache.directory().to_owned();
    assert!(directory.starts_with(std::env::temp_dir()), "{directory:?}");
    assert_eq!(directory.metadata().unwrap().mode() & 0o777, 0o700);
    let compiled = cache.component(&answering(6, 0)).unwrap();
    drop(cache);
    assert!(!directory.exists());
    // The mapping keeps what it needs.
    assert_eq!(bench.answer(&compiled), 6);
}

#[test]
fn a_directory_that_vanishes_costs_only_time() {
    let bench = Bench::new();
    let cache = bench.cache();
    std::fs::remove_dir_all(bench.root.path().join("cache")).unwrap();
    let compiled = cache.component(&answering(8, 0)).unwrap();
    assert_eq!(bench.answer(&compiled), 8);
}

#[test]
fn pruning_takes_the_oldest_and_spares_what_is_being_loaded() {
    let bench = Bench::new();
    let cache = bench.cache();
    for number in 0..6 {
        drop(cache.component(&answering(number, 0)).unwrap());
    }
    let mut all = entries(cache.directory());
    all.sort();
    let bytes = all[0].metadata().unwrap().len();
    let hours = |n: u64| SystemTime::now() - Duration::from_secs(n * 3600);
    for (i, path) in (0..).zip(&all) {
        let file = File::open(path).unwrap();
        file.set_modified(hours(100 - i)).unwrap();
    }
    let small = CacheSettings {
        max_bytes: bytes * 3 + bytes / 2,
        ..bench.settings()
    };
    // Some host is loading the oldest.
    let loading = File::open(&all[0]).unwrap();
    loading.lock_shared().unwrap();
    let report = Cache::open(&bench.engine, small.clone()).unwrap().prune();
    assert_eq!((report.deleted, report.kept), (3, 3));
    let left: Vec<bool> = all.iter().map(|path| path.exists()).collect();
    assert_eq!(left, [true, false, false, false, true, true]);
    drop(loading);

    // Loading one makes it the youngest, and adding one prunes by itself.
    let found: Vec<_> = (0..6)
        .map(|number| answering(number, 0))
        .filter(|artifact| {
            let name = all[0].file_name().unwrap().to_str().unwrap();
            name.starts_with(&artifact.digest().to_string())
        })
        .collect();
    let cache = Cache::open(&bench.engine, small).unwrap();
    drop(cache.component(&found[0]).unwrap());
    drop(cache.component(&answering(100, 0)).unwrap());
    assert!(all[0].exists() && !all[4].exists() && all[5].exists());
    assert_eq!(entries(cache.directory()).len(), 3);

    // Age, and what a killed host has left half-written.
    let stale = cache.directory().join("tmp-stale");
    let fresh = cache.directory().join("tmp-fresh");
    File::create(&stale)
        .unwrap()
        .set_modified(hours(2))
        .unwrap();
    File::create(&fresh).unwrap();
    let report = Cache::open(
        &bench.engine,
        CacheSettings {
            max_age: Duration::from_secs(50 * 3600),
            ..bench.settings()
        },
    )
    .unwrap()
    .prune();
    assert_eq!((report.deleted, report.kept), (1, 2));
    assert!(!stale.exists() && fresh.exists());
}

#[test]
fn an_entry_larger_than_the_cache_is_still_used() {
    let bench = Bench::new();
    let settings = CacheSettings {
        max_bytes: 1,
        parallel: NonZeroUsize::MIN,
        ..bench.settings()
    };
    let cache = Cache::open(&bench.engine, settings).unwrap();
    let one = cache.component(&answering(1, 0)).unwrap();
    let two = cache.component(&answering(2, 0)).unwrap();
    assert_eq!((bench.answer(&one), bench.answer(&two)), (1, 2));
    assert_eq!(entries(cache.directory()).len(), 1);
}

#[test]
fn two_hosts_share_one_cache() {
    let bench = Bench::new();
    let cache = bench.root.path().join("cache");
    let hosts: Vec<_> = (0..4)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "a_host", "--nocapture"])
                .env("SKEP_CACHE", &cache)
                .output_in_background()
        })
        .collect();
    let told: Vec<String> = hosts
        .into_iter()
        .map(|host| {
            let output = host.wait_with_output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    let total = |word: &str| -> u64 {
        let count = |text: &String| -> u64 {
            let start = text.find(word).unwrap() + word.len();
            let digits = text[start..].chars().take_while(char::is_ascii_digit);
            digits.collect::<String>().parse().unwrap()
        };
        told.iter().map(count).sum()
    };
    assert_eq!(total("compiled="), u64::from(HOSTED), "{told:?}");
    assert_eq!(total("loaded="), u64::from(HOSTED) * 3, "{told:?}");
    assert_eq!(total("discarded="), 0, "{told:?}");
}

/// Components that each host of `two_hosts_share_one_cache` wants.
const HOSTED: u32 = 8;

trait InBackground {
    fn output_in_background(&mut self) -> std::process::Child;
}

impl InBackground for Command {
    fn output_in_background(&mut self) -> std::process::Child {
        use std::process::Stdio;
        self.stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Not a test: one of the processes of the test above.
#[test]
#[ignore = "started by two_hosts_share_one_cache"]
fn a_host() {
    let bench = Bench::new();
    let settings = CacheSettings {
        directory: None,
        compile_in: CompileIn::Process(SKEP.into()),
        ..bench.settings()
    };
    let cache = Cache::open(&bench.engine, settings).unwrap();
    for number in 0..HOSTED {
        let compiled = cache.component(&answering(number, 0)).unwrap();
        assert_eq!(bench.answer(&compiled), number);
    }
    let stats = cache.stats();
    println!(
        "compiled={} loaded={} discarded={}",
        stats.compiled, stats.loaded, stats.discarded
    );
}

/// The figures that start-up time is made of; printed, and bounded generously for a busy machine.
#[test]
fn a_warm_start_is_quick() {
    let bench = Bench::new();
    for (what, padding, most) in [("small", 200 << 10, 50), ("large", 36 << 20, 2000)] {
        let artifact = answering(1, padding);
        drop(bench.cache().component(&artifact).unwrap());
        let file = bench.root.path().join(what);
        std::fs::write(&file, &*artifact.bytes().unwrap()).unwrap();

        let began = Instant::now();
        let artifact = Artifact::load(&file).unwrap();
        let loaded = began.elapsed();
        let cache = bench.cache();
        let began = Instant::now();
        let compiled = cache.component(&artifact).unwrap();
        let verified = began.elapsed();
        assert_eq!(compiled.origin, Origin::Disk);
        let size = entries(cache.directory())
            .iter()
            .map(|path| path.metadata().unwrap().len())
            .max();
        println!(
            "{what}: entry of {size:?} bytes: read {loaded:?}, verified and mapped {verified:?}"
        );
        assert!(verified < Duration::from_millis(most), "{verified:?}");
    }
}

#[test]
fn guests_are_inspected_and_run() {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests");
    let benches = [Bench::of(Kind::Serial), Bench::of(Kind::Concurrent)];
    for (name, expected) in [
        (
            "hello",
            "role       HTTP handler (WASI 0.2)\nruns       yes\n",
        ),
        (
            "hello-p3",
            "role       HTTP handler (WASI 0.3)\nruns       yes\n",
        ),
        (
            "worker",
            "role       worker (wasi:cli/run)\nruns       yes\n",
        ),
        ("configured", "runs       yes, once granted: config\n"),
        ("fetcher", "runs       yes, once granted: http\n"),
    ] {
        let path = Path::new(guests).join(name).with_extension("wasm");
        if !path.exists() {
            println!("{name} has not been built: skipped");
            continue;
        }
        let (code, text) = inspect(&[path.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(expected), "{text}");
        let artifact = Artifact::load(&path).unwrap();
        let concurrent = artifact.description().concurrent;
        assert_eq!(concurrent, name.ends_with("p3"), "{name}");
        let cache = benches[usize::from(concurrent)].compiling_in_child(CompileLimits::default());
        let began = Instant::now();
        drop(cache.component(&artifact).unwrap());
        let compiled = began.elapsed();
        let began = Instant::now();
        let artifact = Artifact::load(&path).unwrap();
        let loaded = began.elapsed();
        let began = Instant::now();
        drop(cache.component(&artifact).unwrap());
        println!(
            "{name}: compiled {compiled:?}, read {loaded:?}, from disk {:?}",
            began.elapsed()
        );
    }
}

/// Exit code and what was printed, stdout then stderr.
fn inspect(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(SKEP)
        .arg("inspect")
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

const SHOP: &str = r#"
(component $shop
  (import "wasi:http/types@0.3.0-rc-2025-09-16" (instance (export "f" (func))))
  (import "wasi:config/store@0.2.0-rc.1" (instance))
  (import "wasi:sockets/tcp@0.2.3" (instance))
  (import "wasi:filesystem/types@0.2.13" (instance))
  (core module $m
    (memory 17)
    (func (export "f"))
    (@producers (language "Rust" "") (processed-by "rustc" "1.91.0\1b[31m")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $h (export "handle" (func $f)))
  (export "wasi:http/incoming-handler@0.2.3" (instance $h)))
"#;

#[test]
fn inspect_prints_what_a_component_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.wasm");
    let bytes = wat::parse_str(SHOP).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    let (code, text) = inspect(&[path]);
    assert_eq!(code, Some(0), "{text}");
    let text = text.replace(path, "shop.wasm");
    expect_test::expect![[r#"
        component  shop.wasm
        name       shop
        digest     sha256:b9889c1efd4d2fef9fd5e9da3083e4d3a623ce635e341107ea504a9d12ceae32
        size       429 bytes, 1 core module with 1 function
        memory     1 MiB at least per instance; 0 table elements
        made by    Rust (language)
                   rustc 1.91.0�[31m (processed-by)
        role       HTTP handler (WASI 0.2)
        runs       no: nothing provides wasi:http/types@0.3.0-rc-2025-09-16

        imports
          wasi:http/types@0.3.0-rc-2025-09-16  MISSING; there is wasi:http/types@0.2.12 and wasi:http/types@0.3.0 (Skep has other versions of it; a pre-release fits only itself)
          wasi:config/store@0.2.0-rc.1         needs grant: config (only the values that are granted)
          wasi:sockets/tcp@0.2.3               denied (every use is refused)
          wasi:filesystem/types@0.2.13         optional: directories (no directory is there unless granted; newer than Skep's 0.2.12)

        exports
          wasi:http/incoming-handler@0.2.3  handle

        in skep.toml, under its [service.NAME]
          grants.config = { greeting = "hello" }   # needed
          grants.directories = [{ host = "data", guest = "/data", mode = "read-only" }]   # if it is to have any

        world
          package root:component;

          world root {
            import wasi:http/types@0.3.0-rc-2025-09-16;
            import wasi:config/store@0.2.0-rc.1;
            import wasi:sockets/tcp@0.2.3;
            import wasi:filesystem/types@0.2.13;

            export wasi:http/incoming-handler@0.2.3;
          }
    "#]].assert_eq(&text);

    let (code, json) = inspect(&["--json", path]);
    assert_eq!(code, Some(0), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["role"], "http-0.2");
    assert_eq!(json["runnable"], false);
    assert_eq!(json["grants"][1]["need"], "required");
    assert_eq!(json["grants"][1]["grant"], "config");
    assert_eq!(json["exports"][0]["functions"][0], "handle");
    assert_eq!(json["size"], json["sizes"]["component_bytes"]);
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
}

#[test]
fn inspect_refuses_what_is_no_component() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.wasm");
    let refused = |bytes: &[u8], expected: &str| {
        std::fs::write(&path, bytes).unwrap();
        let (code, text) = inspect(&[path.to_str().unwrap()]);
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("panicked"), "{text}");
    };
    refused(b"", "it is empty");
    refused(b"(module)", "WebAssembly text");
    refused(
        &wat::parse_str("(module)").unwrap(),
        "core WebAssembly module",
    );
    refused(&invalid().bytes().unwrap(), "type mismatch");
    let bytes = answering(1, 100).bytes().unwrap().to_vec();
    refused(&bytes[..bytes.len() - 60], "cut off");
    let error = inspect(&[dir.path().to_str().unwrap()]);
    assert_eq!(error.0, Some(3));
}
