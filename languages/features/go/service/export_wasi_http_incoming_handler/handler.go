// Package export_wasi_http_incoming_handler answers requests as the world says: each path shows one
// thing that a service can do. The generated code goes by the package's name.
package export_wasi_http_incoming_handler

import (
	"fmt"
	"net/url"
	"strings"

	"wit_component/features_library_books"
	"wit_component/wasi_config_store"
	"wit_component/wasi_http_outgoing_handler"
	"wit_component/wasi_http_types"
	"wit_component/wasi_io_streams"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle is called for each request.
func Handle(request *wasi_http_types.IncomingRequest, out *wasi_http_types.ResponseOutparam) {
	defer request.Drop()
	path, query, _ := strings.Cut(request.PathWithQuery().SomeOr("/"), "?")
	key, isConfig := strings.CutPrefix(path, "/config/")
	switch {
	case path == "/hello":
		text(out, 200, "hello\n")
	case path == "/library":
		text(out, 200, library())
	case path == "/shelf":
		text(out, 200, shelf("summer", "978-1", "978-2")+shelf("winter"))
	case path == "/echo":
		send := start(out, 200)
		copyBody(request.Consume().Ok(), send.piece)
		send.finish()
	case path == "/fetch":
		fetch(out, query)
	case isConfig:
		if value := wasi_config_store.Get(key).Ok(); value.IsSome() {
			text(out, 200, value.Some()+"\n")
		} else {
			text(out, 404, "there is no such value\n")
		}
	default:
		text(out, 404, "there is no such page\n")
	}
}

func library() string {
	var said strings.Builder
	var found []features_library_books.Book
	for _, isbn := range []string{"978-1", "978-2", "978-9", "978-0"} {
		result := features_library_books.Find(isbn)
		if result.IsOk() {
			found = append(found, result.Ok())
			said.WriteString(line(result.Ok()))
			continue
		}
		switch problem := result.Err(); problem.Tag() {
		case features_library_books.Problem_SoldOut:
			said.WriteString("sold out\n")
		case features_library_books.Problem_Unknown:
			fmt.Fprintf(&said, "unknown %s\n", problem.Unknown())
		default:
			fmt.Fprintf(&said, "unavailable %s\n", problem.Unavailable())
		}
	}
	fmt.Fprintln(&said, features_library_books.Letters(found))
	return said.String()
}

func line(book features_library_books.Book) string {
	binding, tags, price := "paper", "-", "-"
	if book.Binding == features_library_books.Binding_Cloth {
		binding = "cloth"
	}
	if len(book.Tags) > 0 {
		tags = strings.Join(book.Tags, ",")
	}
	if book.Price.IsSome() {
		price = fmt.Sprint(book.Price.Some())
	}
	return fmt.Sprintf("%s %d %s %s %s\n", book.Title, book.Pages, binding, tags, price)
}

func shelf(name string, isbns ...string) string {
	made := features_library_books.MakeShelf(name)
	defer made.Drop()
	said := made.Name()
	for _, isbn := range isbns {
		said += fmt.Sprintf(" %d", made.Put(features_library_books.Find(isbn).Ok()))
	}
	return said + " " + features_library_books.Thickest(made).SomeOr("none") + "\n"
}

func fetch(out *wasi_http_types.ResponseOutparam, from string) {
	target, err := url.Parse(from)
	if err != nil {
		text(out, 400, err.Error()+"\n")
		return
	}
	request := wasi_http_types.MakeOutgoingRequest(wasi_http_types.MakeFields())
	request.SetScheme(wit.Some(wasi_http_types.MakeSchemeHttp()))
	request.SetAuthority(wit.Some(target.Host))
	request.SetPathWithQuery(wit.Some(target.Path))
	pending := wasi_http_outgoing_handler.Handle(request, wit.None[*wasi_http_types.RequestOptions]()).Ok()
	defer pending.Drop()
	ready := pending.Subscribe()
	ready.Block()
	ready.Drop()
	response := pending.Get().Some().Ok().Ok()
	defer response.Drop()
	send := start(out, 200)
	copyBody(response.Consume().Ok(), send.piece)
	send.finish()
}

// copyBody hands each piece on as it comes.
func copyBody(body *wasi_http_types.IncomingBody, to func([]byte)) {
	stream := body.Stream().Ok()
	for {
		piece := stream.BlockingRead(4096)
		if piece.IsErr() { // it has ended
			break
		}
		to(piece.Ok())
	}
	stream.Drop()
	body.Drop()
}

// sending is an answer whose body is being written.
type sending struct {
	body   *wasi_http_types.OutgoingBody
	stream *wasi_io_streams.OutputStream
}

func start(out *wasi_http_types.ResponseOutparam, status uint16) sending {
	response := wasi_http_types.MakeOutgoingResponse(wasi_http_types.MakeFields())
	response.SetStatusCode(status)
	body := response.Body().Ok()
	wasi_http_types.ResponseOutparamSet(out,
		wit.Ok[*wasi_http_types.OutgoingResponse, wasi_http_types.ErrorCode](response))
	return sending{body, body.Write().Ok()}
}

// piece ignores errors: they mean that the client has gone.
func (send sending) piece(bytes []byte) {
	send.stream.BlockingWriteAndFlush(bytes)
}

func (send sending) finish() {
	send.stream.Drop()
	wasi_http_types.OutgoingBodyFinish(send.body, wit.None[*wasi_http_types.Fields]())
}

func text(out *wasi_http_types.ResponseOutparam, status uint16, body string) {
	send := start(out, status)
	send.piece([]byte(body))
	send.finish()
}
