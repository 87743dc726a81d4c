package greeting

import "testing"

func TestFor(t *testing.T) {
	for path, expected := range map[string]string{
		"/Ada":               "Hello, Ada!",
		"/people/Ada?loud=1": "Hello, Ada!",
		"/":                  "Hello, world!",
	} {
		if words := For(path); words != expected {
			t.Errorf("%s: %q, not %q", path, words, expected)
		}
	}
}
