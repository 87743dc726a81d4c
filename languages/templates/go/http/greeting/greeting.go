// Package greeting says whom to greet, and how.
package greeting

import "strings"

// For are the words for whoever the last segment of the path names.
func For(path string) string {
	path, _, _ = strings.Cut(path, "?")
	name := path[strings.LastIndex(path, "/")+1:]
	if name == "" {
		name = "world"
	}
	return "Hello, " + name + "!"
}
