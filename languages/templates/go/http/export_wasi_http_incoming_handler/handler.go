// Package export_wasi_http_incoming_handler answers HTTP requests with a greeting. The generated code
// goes by the package's name.
package export_wasi_http_incoming_handler

import (
	"fmt"

	"wit_component/greeting"
	"wit_component/wasi_http_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle is called for each request.
func Handle(request *wasi_http_types.IncomingRequest, out *wasi_http_types.ResponseOutparam) {
	defer request.Drop()
	path := request.PathWithQuery().SomeOr("/")
	fmt.Println("asked for", path) // goes to Skep's log
	answer(out, 200, greeting.For(path))
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
