"""Answers requests as the world says: each path shows one thing that a service can do."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import books, outgoing_handler, store
from wit_world.imports.streams import InputStream, StreamError_Closed
from wit_world.imports.types import (
    Fields,
    IncomingBody,
    IncomingRequest,
    OutgoingBody,
    OutgoingRequest,
    OutgoingResponse,
    ResponseOutparam,
    Scheme_Http,
)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path, _, query = (request.path_with_query() or "/").partition("?")
        match path.split("/")[1:]:
            case ["hello"]:
                answer(response_out, 200, [b"hello\n"])
            case ["library"]:
                answer(response_out, 200, [library().encode()])
            case ["shelf"]:
                text = shelf("summer", ["978-1", "978-2"]) + shelf("winter", [])
                answer(response_out, 200, [text.encode()])
            case ["echo"]:
                body = request.consume()
                answer(response_out, 200, pieces(body))
            case ["fetch"]:
                answer(response_out, 200, [fetch(query)])
            case ["config", key]:
                value = store.get(key)
                if value is None:
                    answer(response_out, 404, [b"there is no such value\n"])
                else:
                    answer(response_out, 200, [f"{value}\n".encode()])
            case _:
                answer(response_out, 404, [b"there is no such page\n"])


def library() -> str:
    found, lines = [], []
    for isbn in ["978-1", "978-2", "978-9", "978-0"]:
        try:
            book = books.find(isbn)
            found.append(book)
            tags = ",".join(book.tags) or "-"
            price = "-" if book.price is None else book.price
            lines.append(f"{book.title} {book.pages} {book.binding.name.lower()} {tags} {price}")
        except Err as error:
            match error.value:
                case books.Problem_SoldOut():
                    lines.append("sold out")
                case books.Problem_Unknown(isbn):
                    lines.append(f"unknown {isbn}")
                case books.Problem_Unavailable(why):
                    lines.append(f"unavailable {why}")
    lines.append(str(books.letters(found)))
    return "".join(f"{line}\n" for line in lines)


def shelf(name: str, isbns: list[str]) -> str:
    with books.Shelf(name) as made:
        counts = [made.put(books.find(isbn)) for isbn in isbns]
        words = [made.name(), *counts, books.thickest(made) or "none"]
    return " ".join(map(str, words)) + "\n"


def fetch(url: str) -> bytes:
    parts = urlsplit(url)
    request = OutgoingRequest(Fields())
    request.set_scheme(Scheme_Http())
    request.set_authority(parts.netloc)
    request.set_path_with_query(parts.path)
    with outgoing_handler.handle(request, None) as pending:
        with pending.subscribe() as ready:
            ready.block()
        got = pending.get()
        assert got is not None  # it is ready
        match got:
            case Ok(Ok(response)):
                with response:
                    return b"".join(pieces(response.consume()))
            case _:
                raise RuntimeError(f"{url}: {got}")


def pieces(body: IncomingBody) -> Iterator[bytes]:
    """The body as it comes."""
    with body, body.stream() as stream:
        while True:
            try:
                yield read(stream)
            except EOFError:
                return


def read(stream: InputStream) -> bytes:
    try:
        return stream.blocking_read(4096)
    except Err as error:
        if isinstance(error.value, StreamError_Closed):
            raise EOFError from None
        raise


def answer(out: ResponseOutparam, status: int, body: Iterator[bytes] | list[bytes]) -> None:
    response = OutgoingResponse(Fields())
    response.set_status_code(status)
    sent = response.body()
    ResponseOutparam.set(out, Ok(response))
    with sent.write() as stream:
        for piece in body:
            stream.blocking_write_and_flush(piece)
    OutgoingBody.finish(sent, None)
