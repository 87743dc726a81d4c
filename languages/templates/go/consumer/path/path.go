// Package path says what a request's path asks for.
package path

import "strings"

// Name is the name in its last segment, which may be empty.
func Name(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path[strings.LastIndex(path, "/")+1:]
}
