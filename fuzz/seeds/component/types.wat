(component
  (type $types (instance
    (type $kind' (enum "small" "large")) (export "kind" (type $kind (eq $kind')))
    (type $item' (record (field "name" string) (field "kind" $kind) (field "parts" (list u32))))
    (export "item" (type $item (eq $item')))
    (type $answer' (variant (case "none") (case "one" $item) (case "failed" string)))
    (export "answer" (type $answer (eq $answer')))
    (export "thing" (type $thing (sub resource)))
    (export "get" (func (param "it" (borrow $thing)) (param "n" (option u64)) (result $answer)))))
  (import "a:b/types@1.2.3" (instance $i (type $types)))
  (alias export $i "item" (type $item))
  (export "again" (type $item)))
