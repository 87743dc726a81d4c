(component (core module (type (func (param i32) (result i32)))
  (func $f (type 0) local.get 0 i32.const 1 i32.add) (export "f" (func $f))
  (memory 1) (data (i32.const 0) "some data") (global (mut i32) (i32.const 7)))
  (@custom "producers" "\ff\ff\ff") (@custom "component-name" "\ff"))
