//! What can be said of a component without compiling it: imports, exports, makers, sizes, role.

use serde::Serialize;
use skep_core::contract::Contract;
use wasm_metadata::Producers;
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{
    BinaryReaderError, ComponentNameSectionReader, KnownCustom, Parser, Payload, ValidPayload,
    Validator, WasmFeatures,
};

use super::{Fault, contract};

/// A component as its bytes tell it. Pure data; made once per artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The name its maker gave it, if any; nothing in Skep depends on it.
    pub name: Option<String>,
    /// What a host would use it for.
    pub role: Role,
    /// Uses async functions, streams or futures (WASI 0.3), anywhere in it.
    pub concurrent: bool,
    /// In the component's order.
    pub imports: Vec<Item>,
    /// In the component's order.
    pub exports: Vec<Item>,
    /// Both again with all types, for linking.
    #[serde(skip)]
    pub contract: Contract,
    /// Languages and tools, as they signed it.
    pub producers: Vec<Producer>,
    /// How large it is and how much memory it begins with.
    pub sizes: Sizes,
}

/// What the exports make of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Exports `wasi:http/incoming-handler@0.2.x`.
    #[serde(rename = "http-0.2")]
    HttpHandler02,
    /// Exports `wasi:http/handler@0.3.x`.
    #[serde(rename = "http-0.3")]
    HttpHandler03,
    /// Exports `wasi:cli/run@0.2.x` or `@0.3.x`: started once, runs until it returns.
    Worker,
    /// Only interfaces of its own, if any: a provider, which answers calls of other services.
    Library,
}

/// One import or export of the component's world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// As written: `wasi:http/types@0.2.3`, or a plain name.
    pub name: String,
    /// What stands behind the name.
    pub kind: ItemKind,
    /// The functions of an interface, as the component names them (`[method]fields.append`).
    pub functions: Vec<String>,
    /// The resources that an interface defines (not those it only mentions).
    pub resources: Vec<String>,
}

/// What stands behind an import or export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// A WIT interface.
    Interface,
    /// A function of the world itself.
    Function,
    /// A type or resource of the world itself.
    Type,
    /// A core module, a component or a value: legal, but nothing that WIT tools make.
    Other,
}

/// One entry of the producers section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub field: String,
    /// `Rust`.
    pub name: String,
    /// Often empty for languages.
    pub version: String,
}

/// Counts and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// The file, in bytes.
    pub component_bytes: u64,
    /// Core modules in it, nested ones too.
    pub core_modules: u32,
    /// All core modules together, in bytes.
    pub core_module_bytes: u64,
    /// Functions with a body.
    pub functions: u32,
    /// Memories that its modules define.
    pub memories: u32,
    /// What they hold when an instance begins, in bytes: an instance can do with no less.
    pub memory_min_bytes: u64,
    /// Tables that its modules define.
    pub tables: u32,
    /// What they hold when an instance begins, in elements.
    pub table_min_elements: u64,
}

/// The proposals that [`crate::engine::config`] enables in engines of both kinds, for checks that
/// need no engine.
fn serial_features() -> WasmFeatures {
    (WasmFeatures::WASM3 | WasmFeatures::COMPONENT_MODEL)
        .difference(WasmFeatures::GC | WasmFeatures::CM_ASYNC)
}

/// The same, of the engine that allows most.
fn host_features() -> WasmFeatures {
    serial_features() | WasmFeatures::CM_ASYNC
}

/// Checks all of a component, function bodies included.
pub(super) fn validate(bytes: &[u8]) -> Result<(), Fault> {
    let Err(error) = Validator::new_with_features(host_features()).validate_all(bytes) else {
        return Ok(());
    };
    // If it passes with everything switched on, it is sound and only ahead of this host.
    match Validator::new_with_features(WasmFeatures::all()).validate_all(bytes) {
        Ok(_) => Err(Fault::Unsupported {
            offset: error.offset() as u64,
            message: error.message().to_owned(),
        }),
        Err(error) => Err(Fault::from_wasmparser(&error, bytes.len())),
    }
}

impl Description {
    /// Walks the sections and checks their types; skips function bodies.
    pub(super) fn of(bytes: &[u8]) -> Result<Description, Fault> {
        // The fewer features, the quicker the validator; and what passes without concurrency does
        // not use it. A component that needs more than the host has can still be described, and
        // `validate` or compiling says what is not enabled.
        let serial = Walk::through(bytes, serial_features());
        let concurrent = serial.is_err();
        let (walk, types) = serial
            .or_else(|_| Walk::through(bytes, host_features()))
            .or_else(|_| Walk::through(bytes, WasmFeatures::all()))?;

        let types = types.as_ref();
        let imports = walk.items(types, TypesRef::component_item_for_import, &walk.imports);
        let exports = walk.items(types, TypesRef::component_item_for_export, &walk.exports);
        if imports.is_empty() && is_wit_package(types, &walk.exports) {
            return Err(Fault::WitPackage);
        }
        Ok(Description {
            role: Role::of(&exports),
            name: walk.name,
            concurrent,
            imports,
            exports,
            contract: contract::contract(types, &walk.imports, &walk.exports),
            producers: producers(&walk.producers),
            sizes: walk.sizes,
        })
    }

    /// The export of that name, whatever its version: `wasi:http/handler`.
    pub fn export(&self, interface: &str) -> Option<&Item> {
        self.exports.iter().find(|item| item.is(interface))
    }

    /// The import of that name, whatever its version.
    pub fn import(&self, interface: &str) -> Option<&Item> {
        self.imports.iter().find(|item| item.is(interface))
    }

    /// Languages, as the producers section has them: `Rust`, `JavaScript`.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.producers
            .iter()
            .filter(|producer| producer.field == "language")
            .map(|producer| producer.name.as_str())
    }
}

impl Item {
    /// Whether this is `interface`, which is written without a version.
    pub fn is(&self, interface: &str) -> bool {
        split_version(&self.name).0 == interface
    }

    /// An interface of nothing but types (records, variants, aliases): names for what others
    /// define, which nobody has to provide.
    pub fn is_types_only(&self) -> bool {
        self.kind == ItemKind::Interface && self.functions.is_empty() && self.resources.is_empty()
    }

    /// What follows the `@`.
    pub fn version(&self) -> Option<&str> {
        split_version(&self.name).1
    }
}

impl Role {
    fn of(exports: &[Item]) -> Role {
        let exports_released = |interface: &str, line: (u64, u64), function: &str| {
            exports.iter().any(|item| {
                item.is(interface)
                    && release_line(item.version()) == Some(line)
                    && item.functions.iter().any(|name| name.ends_with(function))
            })
        };
        if exports_released("wasi:http/handler", (0, 3), "handle") {
            Role::HttpHandler03
        } else if exports_released("wasi:http/incoming-handler", (0, 2), "handle") {
            Role::HttpHandler02
        } else if exports_released("wasi:cli/run", (0, 2), "run")
            || exports_released("wasi:cli/run", (0, 3), "run")
        {
            Role::Worker
        } else {
            Role::Library
        }
    }

    /// For people: what it is, in a few words.
    pub fn text(self) -> &'static str {
        match self {
            Role::HttpHandler02 => "HTTP handler (WASI 0.2)",
            Role::HttpHandler03 => "HTTP handler (WASI 0.3)",
            Role::Worker => "worker (wasi:cli/run)",
            Role::Library => "provider (answers calls of other services)",
        }
    }

    /// Whether it answers HTTP requests.
    pub fn is_http(self) -> bool {
        matches!(self, Role::HttpHandler02 | Role::HttpHandler03)
    }
}

/// `wasi:http/types@0.2.3` → (`wasi:http/types`, `0.2.3`).
pub(super) fn split_version(name: &str) -> (&str, Option<&str>) {
    name.split_once('@')
        .map_or((name, None), |(name, version)| (name, Some(version)))
}

/// Major and minor of a released version. Pre-releases fit nothing but themselves.
pub(super) fn release_line(version: Option<&str>) -> Option<(u64, u64)> {
    let version = semver::Version::parse(version?).ok()?;
    version
        .pre
        .is_empty()
        .then_some((version.major, version.minor))
}

/// What one pass over the payloads gathers.
#[derive(Default)]
struct Walk {
    name: Option<String>,
    imports: Vec<String>,
    exports: Vec<String>,
    producers: Producers,
    sizes: Sizes,
}

impl Walk {
    fn through(bytes: &[u8], features: WasmFeatures) -> Result<(Walk, Types), Fault> {
        let fault = |error: BinaryReaderError| Fault::from_wasmparser(&error, bytes.len());
        let mut validator = Validator::new_with_features(features);
        let mut walk = Walk::default();
        walk.sizes.component_bytes = bytes.len() as u64;
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(fault)?;
            match validator.payload(&payload).map_err(fault)? {
                ValidPayload::Parser(_) => depth += 1,
                ValidPayload::End(types) if depth == 0 => return Ok((walk, types)),
                ValidPayload::End(_) => depth -= 1,
                ValidPayload::Ok | ValidPayload::Func(..) => {}
            }
            walk.note(payload, depth).map_err(fault)?;
        }
        // parse_all ends with an error or with the outermost End; were it otherwise, this is true.
        let size = bytes.len() as u64;
        Err(Fault::Truncated { offset: size, size })
    }

    fn note(&mut self, payload: Payload<'_>, depth: u32) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ModuleSection {
                unchecked_range, ..
            } => {
                self.sizes.core_modules = self.sizes.core_modules.saturating_add(1);
                self.sizes.core_module_bytes += unchecked_range.len() as u64;
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    let page = 1_u64 << memory.page_size_log2.unwrap_or(PAGE_SIZE_LOG2).min(63);
                    let bytes = memory.initial.saturating_mul(page);
                    self.sizes.memories = self.sizes.memories.saturating_add(1);
                    self.sizes.memory_min_bytes = self.sizes.memory_min_bytes.saturating_add(bytes);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let initial = table?.ty.initial;
                    self.sizes.tables = self.sizes.tables.saturating_add(1);
                    self.sizes.table_min_elements =
                        self.sizes.table_min_elements.saturating_add(initial);
                }
            }
            Payload::CodeSectionStart { count, .. } => {
                self.sizes.functions = self.sizes.functions.saturating_add(count);
            }
            Payload::CustomSection(section) => match section.as_known() {
                // Custom sections are commentary: a broken one must not cost the component.
                KnownCustom::Producers(_) => {
                    if let Ok(found) = Producers::from_bytes(section.data(), section.data_offset())
                    {
                        self.producers.merge(&found);
                    }
                }
                KnownCustom::ComponentName(names) if depth == 0 => {
                    self.name = component_name(names)
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn items<'t>(
        &self,
        types: TypesRef<'t>,
        find: impl Fn(&TypesRef<'t>, &str) -> Option<&'t ComponentItem>,
        names: &[String],
    ) -> Vec<Item> {
        names
            .iter()
            .filter_map(|name| Some(item(types, name, &find(&types, name)?.ty)))
            .collect()
    }
}

/// A WebAssembly page, unless the memory says otherwise.
const PAGE_SIZE_LOG2: u32 = 16;

fn item(types: TypesRef<'_>, name: &str, ty: &ComponentEntityType) -> Item {
    let mut item = Item {
        name: name.to_owned(),
        kind: ItemKind::Other,
        functions: Vec::new(),
        resources: Vec::new(),
    };
    match ty {
        ComponentEntityType::Instance(id) => {
            item.kind = ItemKind::Interface;
            let names = |wanted: fn(&ComponentEntityType) -> bool| {
                let exports = types[*id].exports.iter();
                let wanted = exports.filter(|(_, export)| wanted(&export.ty));
                wanted.map(|(name, _)| name.clone()).collect()
            };
            item.functions = names(|ty| matches!(ty, ComponentEntityType::Func(_)));
            item.resources = names(defines_resource);
        }
        ComponentEntityType::Func(_) => item.kind = ItemKind::Function,
        ComponentEntityType::Type { .. } => item.kind = ItemKind::Type,
        ComponentEntityType::Module(_)
        | ComponentEntityType::Component(_)
        | ComponentEntityType::Value(_) => {}
    }
    item
}

/// A resource of its own, rather than another name for one that was there before.
fn defines_resource(ty: &ComponentEntityType) -> bool {
    match ty {
        ComponentEntityType::Type {
            referenced,
            created: created @ ComponentAnyTypeId::Resource(_),
        } => referenced == created,
        _ => false,
    }
}

/// WIT in binary form exports component types and nothing else.
fn is_wit_package(types: TypesRef<'_>, exports: &[String]) -> bool {
    !exports.is_empty()
        && exports.iter().all(|name| {
            types.component_item_for_export(name).is_some_and(|item| {
                matches!(
                    item.ty,
                    ComponentEntityType::Type {
                        created: ComponentAnyTypeId::Component(_),
                        ..
                    }
                )
            })
        })
}

fn component_name(names: ComponentNameSectionReader<'_>) -> Option<String> {
    names.into_iter().find_map(|name| match name {
        Ok(wasmparser::ComponentName::Component { name, .. }) => Some(name.to_owned()),
        _ => None,
    })
}

fn producers(producers: &Producers) -> Vec<Producer> {
    let entries = producers.iter().flat_map(|(field, values)| {
        let values: Vec<_> = values.iter().collect();
        values.into_iter().map(move |(name, version)| Producer {
            field: field.clone(),
            name: name.clone(),
            version: version.clone(),
        })
    });
    entries.collect()
}
