"""Answers several requests at once with WASI 0.3: `/hello`, and `/echo` with the body as it comes."""

import componentize_py_async_support
import wit_world
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.wasi_http_types import Fields, Request, Response


class Handler(exports.Handler):
    async def handle(self, request: Request) -> Response:
        pieces, body = wit_world.byte_stream()
        if request.get_path_with_query() == "/echo":
            received, _ = Request.consume_body(request, told(Ok(None)))
            work = echo(received, pieces)
        else:
            work = say(b"hello\n", pieces)
        componentize_py_async_support.spawn(work)
        return Response.new(Fields(), body, no_trailers())[0]


async def echo(received, pieces) -> None:
    with received, pieces:
        while not received.writer_dropped:
            await pieces.write_all(await received.read(4096))


async def say(text: bytes, pieces) -> None:
    with pieces:
        await pieces.write_all(text)


def told(result):
    return wit_world.result_unit_wasi_http_types_error_code_future(lambda: result)[1]


def no_trailers():
    future = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future
    return future(lambda: Ok(None))[1]
