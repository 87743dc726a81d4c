// Package export_example_greetings_greetings greets people for other services. The generated code goes
// by the package's name.
package export_example_greetings_greetings

import (
	"wit_component/example_greetings_greetings"
	"wit_component/greeting"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Greet is called by other services.
func Greet(name string) wit.Result[string, example_greetings_greetings.Problem] {
	words, err := greeting.For(name)
	if err != nil {
		return wit.Err[string](example_greetings_greetings.MakeProblemNoName())
	}
	return wit.Ok[string, example_greetings_greetings.Problem](words)
}
