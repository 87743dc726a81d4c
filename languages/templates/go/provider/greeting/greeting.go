// Package greeting has the words for people.
package greeting

import "errors"

// ErrNoName says that there is nobody to greet.
var ErrNoName = errors.New("no name")

// For are the words for somebody of this name.
func For(name string) (string, error) {
	if name == "" {
		return "", ErrNoName
	}
	return "Hello, " + name + "!", nil
}
