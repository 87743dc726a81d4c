package main

import "testing"

func TestLine(t *testing.T) {
	if line := line(7); line != "beat 7" {
		t.Errorf("%q", line)
	}
}
