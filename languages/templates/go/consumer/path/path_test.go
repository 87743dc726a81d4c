package path

import "testing"

func TestName(t *testing.T) {
	for path, expected := range map[string]string{
		"/people/Ada?loud=1": "Ada",
		"/":                  "",
	} {
		if name := Name(path); name != expected {
			t.Errorf("%s: %q, not %q", path, name, expected)
		}
	}
}
