(component
  (component $inner
    (import "f" (func $f (param "x" string) (result string)))
    (export "g" (func $f)))
  (import "f" (func $f (param "x" string) (result string)))
  (instance $i (instantiate $inner (with "f" (func $f))))
  (export "wasi:cli/run@0.2.3" (instance $i)))
