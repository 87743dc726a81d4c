/* Answers HTTP requests with what another service says. */

#include <stdio.h>
#include <string.h>

#include "../gen/service.h"
#include "path.h"

static void answer(wasi_http_types_own_response_outparam_t out, uint16_t status, const char *text)
{
    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
    wasi_http_types_method_outgoing_response_set_status_code(
        wasi_http_types_borrow_outgoing_response(response), status);
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_method_outgoing_response_body(
        wasi_http_types_borrow_outgoing_response(response), &body);
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = false,
                                                                        .val.ok = response};
    wasi_http_types_static_response_outparam_set(out, &result);

    wasi_http_types_own_output_stream_t stream;
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(body), &stream);
    service_list_u8_t bytes = {(uint8_t *)text, strlen(text)};
    wasi_io_streams_stream_error_t gone;
    if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(
            wasi_io_streams_borrow_output_stream(stream), &bytes, &gone))
        wasi_io_streams_stream_error_free(&gone); /* The client has gone. */
    wasi_io_streams_output_stream_drop_own(stream);
    wasi_http_types_error_code_t why;
    if (!wasi_http_types_static_outgoing_body_finish(body, NULL, &why))
        wasi_http_types_error_code_free(&why);
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t out)
{
    service_string_t path = {0};
    wasi_http_types_method_incoming_request_path_with_query(
        wasi_http_types_borrow_incoming_request(request), &path);
    const char *last;
    size_t length = path_name((char *)path.ptr, path.len, &last);
    service_string_t name = {(uint8_t *)last, length}, words;
    example_greetings_greetings_problem_t problem;

    /* A call to another service: Skep finds the one that exports the interface. */
    if (example_greetings_greetings_greet(&name, &words, &problem)) {
        char text[1024];
        snprintf(text, sizeof text, "%.*s\n", (int)words.len, (char *)words.ptr);
        service_string_free(&words);
        answer(out, 200, text);
    } else if (problem.tag == EXAMPLE_GREETINGS_GREETINGS_PROBLEM_NO_NAME) {
        answer(out, 400, "Hello whom?\n");
    } else {
        service_string_t *why = &problem.val.unavailable;
        fprintf(stderr, "%.*s\n", (int)why->len, (char *)why->ptr); /* goes to Skep's log */
        example_greetings_greetings_problem_free(&problem);
        answer(out, 503, "Nobody greets at the moment.\n");
    }

    service_string_free(&path);
    wasi_http_types_incoming_request_drop_own(request);
}
