;; Answers the host's call for room with a call of its own, which would nest without end.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "fields" (type $fields (sub resource)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "incoming-request" (type $request (sub resource)))
    (export "[method]incoming-request.path-with-query"
      (func (param "self" (borrow $request)) (result (option string))))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
  (core func $new (canon lower (func $types "[constructor]fields")))
  (core module $allocator
    (import "fields" "new" (func $new (result i32)))
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (call $new)))
  (core instance $allocator (instantiate $allocator
    (with "fields" (instance (export "new" (func $new))))))
  (core func $path (canon lower (func $types "[method]incoming-request.path-with-query")
    (memory $allocator "memory") (realloc (func $allocator "realloc"))))
  (core module $code
    (import "request" "path" (func $path (param i32 i32)))
    (func (export "handle") (param i32 i32)
      (call $path (local.get 0) (i32.const 16))
      unreachable))
  (core instance $main (instantiate $code
    (with "request" (instance (export "path" (func $path))))))
  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
