//! Components that take long to compile: one that works, with a module in it that nobody uses.

use wasm_encoder::{
    CodeSection, ComponentSection as _, Function, FunctionSection, Module, ModuleSection,
    TypeSection, ValType,
};

/// Steps of a function: some hundred bytes.
const STEPS: usize = 12;

/// The component with so many bytes more, all of them code. Each seed makes another one.
pub(super) fn heavy(component: &[u8], bytes: usize, seed: u64) -> Vec<u8> {
    let mut types = TypeSection::new();
    types
        .ty()
        .function([ValType::I64, ValType::I64], [ValType::I64]);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    let mut number = seed;
    while code.byte_len() < bytes {
        functions.function(0);
        code.function(&function(&mut number));
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    let mut heavy = component.to_vec();
    ModuleSection(&module).append_to_component(&mut heavy);
    heavy
}

fn function(number: &mut u64) -> Function {
    let mut function = Function::new([]);
    let mut body = function.instructions();
    body.local_get(0);
    for step in 0..STEPS {
        // Knuth's MMIX generator: no two functions are the same.
        *number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let constant = (*number >> 1).cast_signed();
        body.i64_const(constant).i64_mul().local_get(1);
        match step % 3 {
            0 => body.i64_add(),
            1 => body.i64_xor(),
            _ => body.i64_rotl(),
        };
    }
    body.end();
    function
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_large_as_wanted_and_never_the_same() {
        let component = wasm_encoder::Component::new().finish();
        let one = heavy(&component, 100_000, 1);
        assert!((100_000..101_000).contains(&one.len()), "{}", one.len());
        assert_eq!(one, heavy(&component, 100_000, 1));
        assert_ne!(one, heavy(&component, 100_000, 2));
    }
}
