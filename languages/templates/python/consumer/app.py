"""Answers HTTP requests with what another service says."""

import sys

import path
from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import greetings
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        name = path.name(request.path_with_query() or "/")
        try:
            # A call to another service: Skep finds the one that exports the interface.
            answer(response_out, 200, greetings.greet(name))
        except Err as error:
            match error.value:
                case greetings.Problem_NoName():
                    answer(response_out, 400, "Hello whom?")
                case greetings.Problem_Unavailable(why):
                    print(why, file=sys.stderr)  # goes to Skep's log
                    answer(response_out, 503, "Nobody greets at the moment.")


def answer(out: ResponseOutparam, status: int, text: str) -> None:
    headers = Fields.from_list([("content-type", b"text/plain; charset=utf-8")])
    response = OutgoingResponse(headers)
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    with body.write() as stream:
        stream.blocking_write_and_flush(f"{text}\n".encode())
    OutgoingBody.finish(body, None)
