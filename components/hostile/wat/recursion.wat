;; Calls itself until the native stack is used up.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
  (core module $code
    (func $deeper (param i64 i64 i64 i64) (result i64)
      (i64.add (local.get 0)
        (call $deeper (local.get 1) (local.get 2) (local.get 3) (local.get 0))))
    (func (export "handle") (param i32 i32)
      (drop (call $deeper (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))))
  (core instance $main (instantiate $code))
  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
