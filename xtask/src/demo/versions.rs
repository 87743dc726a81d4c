//! The versions of the shop's catalog that are deployed: each is a copy of the shop with one change, as
//! a developer might have made it, built from source. The shop itself knows nothing of them.
use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::guests::toolchain::Toolchain;
use crate::guests::{TARGET, build_package};

/// What is built anew.
const PACKAGE: &str = "catalog";

/// What one version of the catalog has that the shop's own does not.
pub(super) struct Version {
    /// The component's file is named so.
    pub(super) name: &'static str,
    /// What it does, for who watches.
    pub(super) story: &'static str,
    /// Below the shop's folder.
    file: &'static str,
    /// Stands once in the file.
    before: &'static str,
    after: &'static str,
}

/// A good one, which can be told from the shop's own by its prices.
pub(super) const SALE: Version = Version {
    name: "sale",
    story: "everything a tenth cheaper",
    file: "catalog/src/lib.rs",
    before: "        Ok(Products(products))\n",
    after: "        let mut products: Vec<Product> = products;
        for product in &mut products {
            product.price_cents -= product.price_cents / 10;
        }
        Ok(Products(products))\n",
};

/// One that the storefront cannot call.
pub(super) const INCOMPATIBLE: Version = Version {
    name: "incompatible",
    story: "in its interface a price is a u64",
    file: "wit/catalog.wit",
    before: "price-cents: u32",
    after: "price-cents: u64",
};

/// One that crashes whatever it is asked, also whether it is well.
pub(super) const CRASHING: Version = Version {
    name: "crashing",
    story: "panics when it reads its products",
    file: "catalog/src/lib.rs",
    before: "fs::read_to_string(PRODUCTS).map_err(|error| out_of_order(&error))?;",
    after: "fs::read_to_string(\"/data/goods.json\").expect(\"the goods are there\");",
};

/// One that is well as far as its health check sees, and crashes when a product is looked up.
pub(super) const BRITTLE: Version = Version {
    name: "brittle",
    story: "passes its health check, panics when a product is looked up",
    file: "catalog/src/lib.rs",
    before: "let found = self.0.iter().find(|product| product.id == id);",
    after: "let at = self.0.iter().position(|product| product.id == id);
        let found = at.map(|at| &self.0[at + self.0.len()]);",
};

const ALL: [&Version; 4] = [&SALE, &INCOMPATIBLE, &CRASHING, &BRITTLE];

impl Version {
    /// Where [`build`] puts its component.
    pub(super) fn component(&self, folder: &Path) -> PathBuf {
        folder.join(self.name).with_extension("wasm")
    }

    /// The file's text with the change in it.
    fn changed(&self, text: &str) -> Result<String> {
        match text.matches(self.before).count() {
            1 => Ok(text.replace(self.before, self.after)),
            count => Err(format!(
                "{} has {count} times what the version {:?} changes; say in {} what it is to change",
                self.file,
                self.name,
                file!()
            )),
        }
    }
}

/// Builds every version into `folder`.
pub(super) fn build(toolchain: &Toolchain, shop: &Path, folder: &Path) -> Result {
    // One copy that becomes each of them in turn: what they share is compiled once, and cargo gives the
    // components of all of them the same file.
    let (copy, artifacts) = (folder.join("source"), folder.join("build"));
    for version in ALL {
        copy_of(shop, &copy, version)?;
        build_package(toolchain, &copy, PACKAGE, &artifacts)?;
        let built = artifacts.join(TARGET).join("release").join(PACKAGE);
        let (from, to) = (built.with_extension("wasm"), version.component(folder));
        fs::copy(&from, &to)
            .map_err(|error| format!("copying {} to {}: {error}", from.display(), to.display()))?;
    }
    Ok(())
}

/// Copies the shop's sources with the change made in them. What is the same keeps its time stamp, so
/// that cargo compiles nothing twice.
fn copy_of(shop: &Path, copy: &Path, version: &Version) -> Result {
    for path in sources(shop)? {
        let failed = |error| format!("copying {} for a version: {error}", path.display());
        let below = path.strip_prefix(shop).unwrap_or(&path);
        let mut content = fs::read(&path).map_err(failed)?;
        if below == Path::new(version.file) {
            content = version
                .changed(&String::from_utf8_lossy(&content))?
                .into_bytes();
        }
        let to = copy.join(below);
        if fs::read(&to).is_ok_and(|old| old == content) {
            continue;
        }
        let parent = to.parent().unwrap_or(copy);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&to, content))
            .map_err(failed)?;
    }
    Ok(())
}

/// Every file that building may need: neither artifacts nor what hosts keep.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| format!("reading {}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        if name == "target" || name.to_string_lossy().starts_with('.') {
            continue;
        }
        match path.is_dir() {
            true => found.append(&mut sources(&path)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::root;

    #[test]
    fn every_version_changes_one_place_of_the_shop_as_it_is() {
        for version in ALL {
            let file = root().join("examples/shop").join(version.file);
            let text = fs::read_to_string(file).unwrap();
            let changed = version.changed(&text).unwrap();
            assert!(changed.contains(version.after), "{}", version.name);
            let twice = version.before.repeat(2);
            for drifted in ["", &twice] {
                assert!(version.changed(drifted).is_err(), "{}", version.name);
            }
        }
    }

    #[test]
    fn a_copy_has_the_change_and_what_is_the_same_is_not_written_again() {
        let folder = std::env::temp_dir().join(format!("xtask-versions-{}", std::process::id()));
        let (shop, copy) = (folder.join("shop"), folder.join("copy"));
        for (file, text) in [
            ("wit/catalog.wit", "price-cents: u32,"),
            ("catalog/src/lib.rs", "code"),
            ("target/x.wasm", "artifact"),
            (".skep/journal", "state"),
        ] {
            let path = shop.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        copy_of(&shop, &copy, &INCOMPATIBLE).unwrap();
        let changed = fs::read_to_string(copy.join("wit/catalog.wit")).unwrap();
        assert_eq!(changed, "price-cents: u64,");
        assert!(!copy.join("target").exists() && !copy.join(".skep").exists());

        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        let same = copy.join("catalog/src/lib.rs");
        let file = fs::File::options().write(true).open(&same).unwrap();
        file.set_modified(long_ago).unwrap();
        copy_of(&shop, &copy, &INCOMPATIBLE).unwrap();
        assert_eq!(fs::metadata(&same).unwrap().modified().unwrap(), long_ago);
        fs::remove_dir_all(&folder).unwrap();
    }
}
