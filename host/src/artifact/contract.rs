//! Reads a component's contract from the validator's types: no decoder that could panic, and no
//! second pass over the file.

use std::collections::HashMap;
use std::sync::Arc;

use skep_core::contract::{
    Case, Contract, Function, Interface, InterfaceName, Named, Resource, Side, Type,
};
use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    AliasableResourceId, ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId,
    ComponentEntityType, ComponentFuncTypeId, ComponentInstanceTypeId, ComponentItem,
    ComponentValType, ResourceId,
};
use wasmparser::names::KebabString;
use wasmparser::types::TypesRef;

/// What the component imports and exports under these names. The validator bounds how deeply types
/// are nested (100) and how large they are together (a million parts).
pub(super) fn contract(types: TypesRef<'_>, imports: &[String], exports: &[String]) -> Contract {
    let mut reader = Reader {
        types,
        resources: HashMap::new(),
        known: HashMap::new(),
    };
    let all = |names: &[String], find: &dyn Fn(&str) -> Option<ComponentEntityType>| {
        let find = |name: &String| Some((name.clone(), find(name)?));
        names.iter().filter_map(find).collect::<Vec<_>>()
    };
    let ty = |item: Option<&ComponentItem>| item.map(|item| item.ty);
    let imports = all(imports, &|name| ty(types.component_item_for_import(name)));
    let exports = all(exports, &|name| ty(types.component_item_for_export(name)));
    // All names first: an interface may mention resources of one that comes later.
    for (name, ty) in &imports {
        reader.name_resources(name, ty, Side::Import);
    }
    for (name, ty) in &exports {
        reader.name_resources(name, ty, Side::Export);
    }
    Contract {
        imports: reader.interfaces(&imports, Side::Import),
        exports: reader.interfaces(&exports, Side::Export),
    }
}

struct Reader<'t> {
    types: TypesRef<'t>,
    /// Under the first name that the world has for each.
    resources: HashMap<ResourceId, Resource>,
    /// Types that have been read; parts of large ones come up again and again.
    known: HashMap<ComponentDefinedTypeId, Type>,
}

impl Reader<'_> {
    fn name_resources(&mut self, name: &str, ty: &ComponentEntityType, side: Side) {
        match ty {
            ComponentEntityType::Instance(id) => {
                let interface = InterfaceName::new(name);
                let types = self.types;
                for (name, item) in &types[*id].exports {
                    self.name_resource(Some(&interface), name, &item.ty, side);
                }
            }
            ty => self.name_resource(None, name, ty, side),
        }
    }

    fn name_resource(
        &mut self,
        interface: Option<&InterfaceName>,
        name: &str,
        ty: &ComponentEntityType,
        side: Side,
    ) {
        if let ComponentEntityType::Type {
            created: ComponentAnyTypeId::Resource(id),
            ..
        } = ty
        {
            let resource = self.resources.entry(id.resource());
            resource.or_insert_with(|| Resource {
                interface: interface.cloned(),
                name: name.into(),
                side,
            });
        }
    }

    fn interfaces(&mut self, all: &[(String, ComponentEntityType)], side: Side) -> Vec<Interface> {
        let mut interfaces = Vec::new();
        for (name, ty) in all {
            if let ComponentEntityType::Instance(id) = ty {
                interfaces.push(self.interface(InterfaceName::new(name), *id, side));
            }
        }
        interfaces
    }

    fn interface(
        &mut self,
        name: InterfaceName,
        id: ComponentInstanceTypeId,
        side: Side,
    ) -> Interface {
        let mut functions = Vec::new();
        let mut resources = Vec::new();
        let types = self.types;
        for (export, item) in &types[id].exports {
            match item.ty {
                ComponentEntityType::Func(id) => functions.push(self.function(export, id)),
                ComponentEntityType::Type {
                    created: ComponentAnyTypeId::Resource(id),
                    ..
                } => {
                    let own = self.resources.get(&id.resource()).is_some_and(|resource| {
                        resource.interface.as_ref() == Some(&name) && resource.side == side
                    });
                    if own {
                        resources.push(export.as_str().into());
                    }
                }
                _ => {}
            }
        }
        Interface {
            name,
            functions,
            resources,
        }
    }

    fn function(&mut self, name: &str, id: ComponentFuncTypeId) -> Function {
        let types = self.types;
        let ty = &types[id];
        let params = ty.params.iter().map(|(name, ty)| self.named(name, ty));
        let params = params.collect();
        Function {
            name: name.into(),
            asynchronous: ty.async_,
            params,
            result: self.optional(ty.result.as_ref()),
        }
    }

    fn named(&mut self, name: &KebabString, ty: &ComponentValType) -> Named {
        Named {
            name: name.as_str().into(),
            ty: self.value(ty),
        }
    }

    fn optional(&mut self, ty: Option<&ComponentValType>) -> Option<Type> {
        ty.map(|ty| self.value(ty))
    }

    fn value(&mut self, ty: &ComponentValType) -> Type {
        let id = match ty {
            ComponentValType::Primitive(primitive) => return self::primitive(*primitive),
            ComponentValType::Type(id) => *id,
        };
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let read = self.defined(id);
        self.known.insert(id, read.clone());
        read
    }

    fn defined(&mut self, id: ComponentDefinedTypeId) -> Type {
        let types = self.types;
        match &types[id] {
            ComponentDefinedType::Primitive(primitive) => self::primitive(*primitive),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter();
                Type::Record(fields.map(|(name, ty)| self.named(name, ty)).collect())
            }
            ComponentDefinedType::Variant(variant) => {
                let case =
                    |(name, case): (&KebabString, &wasmparser::component_types::VariantCase)| {
                        Case {
                            name: name.as_str().into(),
                            ty: self.optional(case.ty.as_ref()),
                        }
                    };
                Type::Variant(variant.cases.iter().map(case).collect())
            }
            ComponentDefinedType::List { element, .. } => Type::List(self.value(element).into()),
            ComponentDefinedType::FixedLengthList {
                element, length, ..
            } => Type::FixedList(self.value(element).into(), *length),
            ComponentDefinedType::Map { key, value, .. } => {
                Type::Map((self.value(key), self.value(value)).into())
            }
            ComponentDefinedType::Tuple(tuple) => {
                Type::Tuple(tuple.types.iter().map(|ty| self.value(ty)).collect())
            }
            ComponentDefinedType::Flags(names) => Type::Flags(self::names(names)),
            ComponentDefinedType::Enum(names) => Type::Enum(self::names(names)),
            ComponentDefinedType::Option { ty, .. } => Type::Option(self.value(ty).into()),
            ComponentDefinedType::Result { ok, err, .. } => {
                Type::Result((self.optional(ok.as_ref()), self.optional(err.as_ref())).into())
            }
            ComponentDefinedType::Own(id) => Type::Own(self.resource(*id)),
            ComponentDefinedType::Borrow(id) => Type::Borrow(self.resource(*id)),
            ComponentDefinedType::Future { ty, .. } => {
                Type::Future(self.optional(ty.as_ref()).map(Arc::new))
            }
            ComponentDefinedType::Stream { ty, .. } => {
                Type::Stream(self.optional(ty.as_ref()).map(Arc::new))
            }
        }
    }

    fn resource(&self, id: AliasableResourceId) -> Resource {
        let named = self.resources.get(&id.resource()).cloned();
        // The validator lets no function of the world mention a resource that has no name there.
        named.unwrap_or_else(|| Resource {
            interface: None,
            name: "unnamed".into(),
            side: Side::Export,
        })
    }
}

fn names<'n>(names: impl IntoIterator<Item = &'n KebabString>) -> Arc<[Arc<str>]> {
    names.into_iter().map(|name| name.as_str().into()).collect()
}

fn primitive(primitive: PrimitiveValType) -> Type {
    match primitive {
        PrimitiveValType::Bool => Type::Bool,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::F32 => Type::F32,
        PrimitiveValType::F64 => Type::F64,
        PrimitiveValType::Char => Type::Char,
        PrimitiveValType::String => Type::String,
        PrimitiveValType::ErrorContext => Type::ErrorContext,
    }
}

#[cfg(test)]
#[path = "../../tests/dummy/mod.rs"]
mod dummy;

#[cfg(test)]
mod tests {
    use skep_core::contract::compare;

    use super::super::Artifact;
    use super::dummy::component_of;
    use super::*;

    /// A component of which one world is true: what it imports and exports of `wit`.
    fn component(wit: &str, world: &str) -> Contract {
        let mut resolve = wit_parser::Resolve {
            all_features: true,
            ..wit_parser::Resolve::default()
        };
        let package = resolve.push_str("test.wit", wit).unwrap();
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        let artifact = Artifact::from_bytes("test.wasm", component_of(&resolve, world)).unwrap();
        artifact.validate().unwrap();
        artifact.description().contract.clone()
    }

    const SHOP: &str = "
        package shop:catalog@0.2.0;
        interface types {
            resource picture { width: func() -> u32; }
            record money { cents: u64, currency: string }
        }
        interface products {
            use types.{picture, money};
            record product { id: u32, name: string, price: money, tags: list<string> }
            variant error { unknown(u32), unavailable, because(tuple<string, char>) }
            enum colour { red, green }
            flags options { cheap, new }
            resource cursor {
                constructor(of: string);
                next: func() -> option<product>;
                merge: static func(one: cursor, other: borrow<cursor>) -> cursor;
            }
            find: func(id: u32, colours: list<colour>) -> result<product, error>;
            watch: async func(options: options) -> stream<u8>;
            later: func() -> future<result<_, string>>;
            paint: func(picture: picture) -> result;
        }
        world exporter { export types; export products; }
        world importer { import types; import products; }
        world both { import types; export products; }
    ";

    #[test]
    fn both_sides_of_an_interface_have_one_contract() {
        let exporter = component(SHOP, "exporter");
        let importer = component(SHOP, "importer");
        assert_eq!(importer.exports, []);
        for import in &importer.imports {
            let export = exporter.export(import.name.text()).unwrap();
            assert_eq!(compare(import, export), [], "{}", import.name);
            assert_eq!(compare(export, import), [], "{}", import.name);
        }
    }

    #[test]
    fn a_contract_has_every_function_with_its_types() {
        let exporter = component(SHOP, "exporter");
        let products = exporter.export("shop:catalog/products@0.2.0").unwrap();
        assert_eq!(products.resources, [Arc::from("cursor")]);
        let mut text = String::new();
        for function in &products.functions {
            text += &format!("{}: {function}\n", function.name);
        }
        expect_test::expect![[r#"
            [constructor]cursor: func(of: string) -> cursor
            [method]cursor.next: func(self: borrow<cursor>) -> option<record { id: u32, name: string, price: record { cents: u64, cur…
            [static]cursor.merge: func(one: cursor, other: borrow<cursor>) -> cursor
            find: func(id: u32, colours: list<enum { red, green }>) -> result<record { id: u32, name: string, price: r…
            watch: async func(options: flags { cheap, new }) -> stream<u8>
            later: func() -> future<result<_, string>>
            paint: func(picture: picture) -> result
        "#]].assert_eq(&text);
    }

    #[test]
    fn resources_of_other_interfaces_say_from_which_side_they_are() {
        let rows = [
            ("exporter", Side::Export),
            ("importer", Side::Import),
            ("both", Side::Import),
        ];
        for (world, side) in rows {
            let contract = component(SHOP, world);
            let name = "shop:catalog/products@0.2.0";
            let products = contract.export(name).or_else(|| contract.import(name));
            let foreign = products.unwrap().foreign_resources();
            let [picture] = foreign.as_slice() else {
                panic!("{world}: {foreign:?}");
            };
            assert_eq!(&*picture.name, "picture");
            assert_eq!(picture.side, side, "{world}");
            let interface = picture.interface.as_ref().unwrap();
            assert_eq!(interface.text(), "shop:catalog/types@0.2.0");
        }
    }
}
