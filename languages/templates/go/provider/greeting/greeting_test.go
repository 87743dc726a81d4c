package greeting

import (
	"errors"
	"testing"
)

func TestWhoeverHasANameIsGreeted(t *testing.T) {
	words, err := For("Ada")
	if words != "Hello, Ada!" || err != nil {
		t.Errorf("%q, %v", words, err)
	}
}

func TestNobodyIsNot(t *testing.T) {
	if _, err := For(""); !errors.Is(err, ErrNoName) {
		t.Errorf("%v", err)
	}
}
