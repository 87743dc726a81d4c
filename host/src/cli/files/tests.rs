//! Two looks at real directories.

use tempfile::TempDir;

use super::*;

/// A project that watches the directory `src` and the file `wit/one.wit`.
struct Scene {
    directory: TempDir,
    project: Project,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let manifest = directory.path().join("skep.toml");
        let text = "name = \"app\"\n[service.cart]\ncomponent = \"src/cart.wasm\"\n\
            build = { command = \"make\", watch = [\"src\", \"wit/one.wit\"] }\n";
        fs::write(&manifest, text).unwrap();
        let project = Project::read(&manifest).unwrap();
        let scene = Scene { directory, project };
        scene.write("src/lib.rs", "1");
        scene
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn write(&self, file: &str, content: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn look(&self, before: &Files) -> Files {
        let (files, outcome) = Files::look(&self.project, before, |_| {});
        assert!(outcome.is_ok());
        files
    }

    /// What differs after something was done, relative to the directory.
    #[track_caller]
    fn check(&self, done: impl FnOnce(&Scene), expected: &[&str]) {
        let before = self.look(&Files::default());
        done(self);
        let differences = self.look(&before).differences(&before);
        let expected = expected.iter().map(|file| self.path(file)).collect();
        assert_eq!(differences, expected);
    }
}

#[test]
fn what_is_written_made_or_removed_is_a_difference() {
    let scene = Scene::new();
    scene.check(|it| it.write("src/lib.rs", "2"), &["src/lib.rs"]);
    scene.check(
        |it| it.write("src/deep/down/a.rs", ""),
        &["src/deep/down/a.rs"],
    );
    scene.check(|it| it.write("wit/one.wit", ""), &["wit/one.wit"]);
    scene.check(
        |it| fs::remove_dir_all(it.path("src/deep")).unwrap(),
        &["src/deep/down/a.rs"],
    );
    scene.check(|it| it.write("skep.toml", "name = \"app\""), &["skep.toml"]);
}

#[test]
fn what_is_not_watched_or_passed_over_is_none() {
    let scene = Scene::new();
    for file in [
        "README.md",
        "wit/two.wit",
        "src/cart.wasm",
        "src/.lib.rs.swp",
        "src/lib.rs~",
        "src/.git/HEAD",
        "src/target/debug/out",
        "src/node_modules/left/index.js",
    ] {
        scene.check(|it| it.write(file, file), &[]);
    }
}

#[test]
fn a_file_is_what_it_contains_unless_it_is_large() {
    let scene = Scene::new();
    scene.check(|it| it.write("src/lib.rs", "1"), &[]);
    scene.check(
        |it| {
            it.write("src/another", "1");
            fs::rename(it.path("src/another"), it.path("src/lib.rs")).unwrap();
        },
        &[],
    );
    let large = "x".repeat(usize::try_from(READ_MAX).unwrap() + 1);
    scene.write("src/large", &large);
    scene.check(
        |it| {
            it.write("src/another", &large);
            fs::rename(it.path("src/another"), it.path("src/large")).unwrap();
        },
        &["src/large"],
    );
}

#[test]
fn each_directory_is_told_of_before_it_is_read_and_links_lead_nowhere() {
    let scene = Scene::new();
    scene.write("src/a/b/c", "");
    std::os::unix::fs::symlink(scene.path("src"), scene.path("src/circle")).unwrap();
    let mut entered = BTreeSet::new();
    let (_, outcome) = Files::look(&scene.project, &Files::default(), |path| {
        entered.insert(path.to_owned());
    });
    assert!(outcome.is_ok());
    // What is not there yet is waited for in the nearest directory that is.
    let expected = ["", "src", "src/a", "src/a/b"].map(|path| match path {
        "" => scene.directory.path().to_owned(),
        path => scene.path(path),
    });
    assert_eq!(entered, BTreeSet::from(expected));
}

#[test]
fn an_earlier_look_is_remembered_where_it_was_made() {
    let scene = Scene::new();
    let before = scene.look(&Files::default());
    scene.write("src/lib.rs", "2");
    scene.write("wit/one.wit", "new");
    let mut now = scene.look(&before);
    let source = scene.path("src");
    now.remember(before, |path| path.starts_with(&source));
    let later = scene.look(&now);
    assert_eq!(
        later.differences(&now),
        BTreeSet::from([scene.path("src/lib.rs")])
    );
}
