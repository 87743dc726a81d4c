;; Grows a table by ever smaller steps until there is nothing left to have, then traps.
(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $out))
  (core module $code
    (table $table 0 funcref)
    (func (export "handle") (param i32 i32)
      (local $step i32)
      (local.set $step (i32.const 0x100_0000))
      (loop $more
        (if (i32.eq (table.grow $table (ref.null func) (local.get $step)) (i32.const -1))
          (then (local.set $step (i32.shr_u (local.get $step) (i32.const 1)))))
        (br_if $more (local.get $step)))
      unreachable))
  (core instance $main (instantiate $code))
  (func $handle (param "request" (own $request)) (param "response-out" (own $out))
    (canon lift (core func $main "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
