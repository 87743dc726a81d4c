;; Computes for ever in the destructor of a resource of its own.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
  (core module $destructor
    (func (export "destroy") (param i32) (loop $for-ever (br $for-ever))))
  (core instance $destructor (instantiate $destructor))
  (type $thing (resource (rep i32) (dtor (func $destructor "destroy"))))
  (core func $new (canon resource.new $thing))
  (core func $drop (canon resource.drop $thing))
  (core module $code
    (import "thing" "new" (func $new (param i32) (result i32)))
    (import "thing" "drop" (func $drop (param i32)))
    (func (export "handle") (param i32 i32)
      (call $drop (call $new (i32.const 7)))))
  (core instance $main (instantiate $code
    (with "thing" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
