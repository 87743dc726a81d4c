/* Answers requests as the world says: each path shows one thing that a service can do. */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen/service.h"

/* An answer whose body is being written. */
struct sending {
    wasi_http_types_own_outgoing_body_t body;
    wasi_http_types_own_output_stream_t stream;
};

static struct sending start(wasi_http_types_own_response_outparam_t out, uint16_t status)
{
    struct sending sending;
    wasi_http_types_own_outgoing_response_t response =
        wasi_http_types_constructor_outgoing_response(wasi_http_types_constructor_fields());
    wasi_http_types_method_outgoing_response_set_status_code(
        wasi_http_types_borrow_outgoing_response(response), status);
    wasi_http_types_method_outgoing_response_body(
        wasi_http_types_borrow_outgoing_response(response), &sending.body);
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = false,
                                                                        .val.ok = response};
    wasi_http_types_static_response_outparam_set(out, &result);
    wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(sending.body),
                                               &sending.stream);
    return sending;
}

static void piece(struct sending sending, service_list_u8_t bytes)
{
    wasi_io_streams_stream_error_t gone;
    if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(
            wasi_io_streams_borrow_output_stream(sending.stream), &bytes, &gone))
        wasi_io_streams_stream_error_free(&gone); /* The client has gone. */
}

static void finish(struct sending sending)
{
    wasi_io_streams_output_stream_drop_own(sending.stream);
    wasi_http_types_error_code_t why;
    if (!wasi_http_types_static_outgoing_body_finish(sending.body, NULL, &why))
        wasi_http_types_error_code_free(&why);
}

static void text(wasi_http_types_own_response_outparam_t out, uint16_t status, const char *body)
{
    struct sending sending = start(out, status);
    piece(sending, (service_list_u8_t){(uint8_t *)body, strlen(body)});
    finish(sending);
}

/* Hands each piece on as it comes. */
static void copy(wasi_http_types_own_incoming_body_t body, struct sending to)
{
    wasi_http_types_own_input_stream_t stream;
    wasi_http_types_method_incoming_body_stream(wasi_http_types_borrow_incoming_body(body), &stream);
    service_list_u8_t bytes;
    wasi_io_streams_stream_error_t ended;
    while (wasi_io_streams_method_input_stream_blocking_read(
        wasi_io_streams_borrow_input_stream(stream), 4096, &bytes, &ended)) {
        piece(to, bytes);
        service_list_u8_free(&bytes);
    }
    wasi_io_streams_stream_error_free(&ended);
    wasi_io_streams_input_stream_drop_own(stream);
    wasi_http_types_incoming_body_drop_own(body);
}

static void line(FILE *to, const features_library_books_book_t *book)
{
    bool cloth = book->binding == FEATURES_LIBRARY_BOOKS_BINDING_CLOTH;
    fprintf(to, "%.*s %u %s ", (int)book->title.len, (char *)book->title.ptr,
            (unsigned)book->pages, cloth ? "cloth" : "paper");
    for (size_t at = 0; at < book->tags.len; at++)
        fprintf(to, "%s%.*s", at ? "," : "", (int)book->tags.ptr[at].len,
                (char *)book->tags.ptr[at].ptr);
    fputs(book->tags.len ? " " : "- ", to);
    if (book->price.is_some)
        fprintf(to, "%g\n", book->price.val);
    else
        fputs("-\n", to);
}

static void library(FILE *to)
{
    static const char *const isbns[] = {"978-1", "978-2", "978-9", "978-0"};
    features_library_books_book_t found[4];
    features_library_books_list_book_t books = {found, 0};
    for (size_t at = 0; at < 4; at++) {
        service_string_t isbn;
        service_string_set(&isbn, isbns[at]);
        features_library_books_problem_t problem;
        if (features_library_books_find(&isbn, &found[books.len], &problem)) {
            line(to, &found[books.len++]);
            continue;
        }
        if (problem.tag == FEATURES_LIBRARY_BOOKS_PROBLEM_SOLD_OUT)
            fputs("sold out\n", to);
        else
            fprintf(to, "%s %.*s\n",
                    problem.tag == FEATURES_LIBRARY_BOOKS_PROBLEM_UNKNOWN ? "unknown" : "unavailable",
                    (int)problem.val.unknown.len, (char *)problem.val.unknown.ptr);
        features_library_books_problem_free(&problem);
    }
    fprintf(to, "%llu\n", (unsigned long long)features_library_books_letters(&books));
    for (size_t at = 0; at < books.len; at++)
        features_library_books_book_free(&found[at]);
}

static void shelf(FILE *to, const char *called, const char *const *isbns, size_t count)
{
    service_string_t name, title;
    service_string_set(&name, called);
    features_library_books_own_shelf_t made = features_library_books_constructor_shelf(&name);
    features_library_books_borrow_shelf_t borrowed = features_library_books_borrow_shelf(made);
    features_library_books_method_shelf_name(borrowed, &name);
    fprintf(to, "%.*s", (int)name.len, (char *)name.ptr);
    service_string_free(&name);
    for (size_t at = 0; at < count; at++) {
        service_string_t isbn;
        service_string_set(&isbn, isbns[at]);
        features_library_books_book_t book;
        features_library_books_problem_t problem;
        if (!features_library_books_find(&isbn, &book, &problem))
            abort(); /* There is such a book. */
        fprintf(to, " %u", (unsigned)features_library_books_method_shelf_put(borrowed, &book));
        features_library_books_book_free(&book);
    }
    if (features_library_books_thickest(borrowed, &title)) {
        fprintf(to, " %.*s\n", (int)title.len, (char *)title.ptr);
        service_string_free(&title);
    } else {
        fputs(" none\n", to);
    }
    features_library_books_shelf_drop_own(made);
}

static void fetch(wasi_http_types_own_response_outparam_t out, char *url)
{
    char *host = strstr(url, "://") + 3, *path = strchr(host, '/');
    service_string_t authority = {(uint8_t *)host, path - host};
    service_string_t target = {(uint8_t *)path, strlen(path)};
    wasi_http_types_scheme_t scheme = {.tag = WASI_HTTP_TYPES_SCHEME_HTTP};
    wasi_http_types_own_outgoing_request_t request =
        wasi_http_types_constructor_outgoing_request(wasi_http_types_constructor_fields());
    wasi_http_types_borrow_outgoing_request_t asked =
        wasi_http_types_borrow_outgoing_request(request);
    wasi_http_types_method_outgoing_request_set_scheme(asked, &scheme);
    wasi_http_types_method_outgoing_request_set_authority(asked, &authority);
    wasi_http_types_method_outgoing_request_set_path_with_query(asked, &target);

    wasi_http_types_own_future_incoming_response_t pending;
    wasi_http_outgoing_handler_error_code_t refused;
    if (!wasi_http_outgoing_handler_handle(request, NULL, &pending, &refused))
        abort();
    wasi_http_types_borrow_future_incoming_response_t waited =
        wasi_http_types_borrow_future_incoming_response(pending);
    wasi_http_types_own_pollable_t ready =
        wasi_http_types_method_future_incoming_response_subscribe(waited);
    wasi_io_poll_method_pollable_block(wasi_io_poll_borrow_pollable(ready));
    wasi_io_poll_pollable_drop_own(ready);
    wasi_http_types_result_result_own_incoming_response_error_code_void_t got;
    if (!wasi_http_types_method_future_incoming_response_get(waited, &got) || got.is_err ||
        got.val.ok.is_err)
        abort();

    wasi_http_types_own_incoming_response_t response = got.val.ok.val.ok;
    wasi_http_types_own_incoming_body_t body;
    wasi_http_types_method_incoming_response_consume(
        wasi_http_types_borrow_incoming_response(response), &body);
    struct sending sending = start(out, 200);
    copy(body, sending);
    finish(sending);
    wasi_http_types_incoming_response_drop_own(response);
    wasi_http_types_future_incoming_response_drop_own(pending);
}

static void configured(wasi_http_types_own_response_outparam_t out, const char *named)
{
    service_string_t key;
    service_string_set(&key, named);
    service_option_string_t value;
    wasi_config_store_error_t error;
    if (!wasi_config_store_get(&key, &value, &error))
        abort();
    if (!value.is_some) {
        text(out, 404, "there is no such value\n");
        return;
    }
    struct sending sending = start(out, 200);
    piece(sending, (service_list_u8_t){value.val.ptr, value.val.len});
    piece(sending, (service_list_u8_t){(uint8_t *)"\n", 1});
    finish(sending);
    service_option_string_free(&value);
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t out)
{
    static const char *const both[] = {"978-1", "978-2"};
    service_string_t path = {0};
    wasi_http_types_borrow_incoming_request_t asked = wasi_http_types_borrow_incoming_request(request);
    wasi_http_types_method_incoming_request_path_with_query(asked, &path);
    char *target = strndup((char *)path.ptr, path.len);
    service_string_free(&path);

    char *said = NULL;
    size_t length;
    FILE *words = open_memstream(&said, &length);
    if (strcmp(target, "/library") == 0)
        library(words);
    if (strcmp(target, "/shelf") == 0) {
        shelf(words, "summer", both, 2);
        shelf(words, "winter", NULL, 0);
    }
    fclose(words);

    if (length > 0) {
        text(out, 200, said);
    } else if (strcmp(target, "/hello") == 0) {
        text(out, 200, "hello\n");
    } else if (strcmp(target, "/echo") == 0) {
        wasi_http_types_own_incoming_body_t body;
        wasi_http_types_method_incoming_request_consume(asked, &body);
        struct sending sending = start(out, 200);
        copy(body, sending);
        finish(sending);
    } else if (strncmp(target, "/fetch?", 7) == 0) {
        fetch(out, target + 7);
    } else if (strncmp(target, "/config/", 8) == 0) {
        configured(out, target + 8);
    } else {
        text(out, 404, "there is no such page\n");
    }
    free(said);
    free(target);
    wasi_http_types_incoming_request_drop_own(request);
}
