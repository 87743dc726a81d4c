// Package export_wasi_http_incoming_handler answers HTTP requests with what another service says. The
// generated code goes by the package's name.
package export_wasi_http_incoming_handler

import (
	"fmt"
	"os"

	"wit_component/example_greetings_greetings"
	"wit_component/path"
	"wit_component/wasi_http_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle is called for each request.
func Handle(request *wasi_http_types.IncomingRequest, out *wasi_http_types.ResponseOutparam) {
	defer request.Drop()
	name := path.Name(request.PathWithQuery().SomeOr("/"))
	// A call to another service: Skep finds the one that exports the interface.
	greeting := example_greetings_greetings.Greet(name)
	if greeting.IsOk() {
		answer(out, 200, greeting.Ok())
		return
	}
	switch problem := greeting.Err(); problem.Tag() {
	case example_greetings_greetings.Problem_NoName:
		answer(out, 400, "Hello whom?")
	default:
		fmt.Fprintln(os.Stderr, problem.Unavailable()) // goes to Skep's log
		answer(out, 503, "Nobody greets at the moment.")
	}
}

func answer(out *wasi_http_types.ResponseOutparam, status uint16, text string) {
	headers := wasi_http_types.MakeFields()
	headers.Set("content-type", [][]byte{[]byte("text/plain; charset=utf-8")})
	response := wasi_http_types.MakeOutgoingResponse(headers)
	response.SetStatusCode(status)
	body := response.Body().Ok()
	wasi_http_types.ResponseOutparamSet(out,
		wit.Ok[*wasi_http_types.OutgoingResponse, wasi_http_types.ErrorCode](response))
	stream := body.Write().Ok()
	// An error means that the client has gone.
	stream.BlockingWriteAndFlush([]byte(text + "\n"))
	stream.Drop()
	wasi_http_types.OutgoingBodyFinish(body, wit.None[*wasi_http_types.Fields]())
}
