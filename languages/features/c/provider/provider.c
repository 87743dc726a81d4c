/* Exports the books. */

#include <stdlib.h>
#include <string.h>

#include "gen/provider.h"

typedef exports_features_library_books_book_t book_t;
typedef exports_features_library_books_problem_t problem_t;

static bool is(const provider_string_t *text, const char *word)
{
    return text->len == strlen(word) && memcmp(text->ptr, word, text->len) == 0;
}

bool exports_features_library_books_find(provider_string_t *isbn, book_t *found, problem_t *problem)
{
    bool known = true;
    memset(found, 0, sizeof *found);
    if (is(isbn, "978-1")) {
        /* What goes out is freed after the call. */
        provider_string_dup(&found->title, "Bees");
        found->pages = 240;
        found->binding = EXPORTS_FEATURES_LIBRARY_BOOKS_BINDING_CLOTH;
        found->tags.len = 2;
        found->tags.ptr = malloc(2 * sizeof *found->tags.ptr);
        provider_string_dup(&found->tags.ptr[0], "nature");
        provider_string_dup(&found->tags.ptr[1], "honey");
        found->price.is_some = true;
        found->price.val = 12.5;
    } else if (is(isbn, "978-2")) {
        provider_string_dup(&found->title, "Combs");
        found->pages = 90;
        found->binding = EXPORTS_FEATURES_LIBRARY_BOOKS_BINDING_PAPER;
    } else {
        known = false;
        if (is(isbn, "978-9")) {
            problem->tag = EXPORTS_FEATURES_LIBRARY_BOOKS_PROBLEM_SOLD_OUT;
        } else {
            problem->tag = EXPORTS_FEATURES_LIBRARY_BOOKS_PROBLEM_UNKNOWN;
            provider_string_dup_n(&problem->val.unknown, (char *)isbn->ptr, isbn->len);
        }
    }
    provider_string_free(isbn); /* What comes in is ours. */
    return known;
}

uint64_t exports_features_library_books_letters(exports_features_library_books_list_book_t *books)
{
    uint64_t letters = 0;
    for (size_t at = 0; at < books->len; at++)
        letters += books->ptr[at].pages * UINT64_C(5000000000);
    exports_features_library_books_list_book_free(books);
    return letters;
}

struct exports_features_library_books_shelf_t {
    provider_string_t name, thickest;
    uint32_t count, pages;
};

exports_features_library_books_own_shelf_t
exports_features_library_books_constructor_shelf(provider_string_t *name)
{
    exports_features_library_books_shelf_t *shelf = calloc(1, sizeof *shelf);
    shelf->name = *name;
    return exports_features_library_books_shelf_new(shelf);
}

void exports_features_library_books_shelf_destructor(exports_features_library_books_shelf_t *shelf)
{
    provider_string_free(&shelf->name);
    provider_string_free(&shelf->thickest);
    free(shelf);
}

void exports_features_library_books_method_shelf_name(
    exports_features_library_books_borrow_shelf_t self, provider_string_t *name)
{
    provider_string_dup_n(name, (char *)self->name.ptr, self->name.len);
}

uint32_t exports_features_library_books_method_shelf_put(
    exports_features_library_books_borrow_shelf_t self, book_t *book)
{
    if (self->count == 0 || book->pages > self->pages) {
        provider_string_free(&self->thickest);
        provider_string_dup_n(&self->thickest, (char *)book->title.ptr, book->title.len);
        self->pages = book->pages;
    }
    exports_features_library_books_book_free(book);
    return ++self->count;
}

bool exports_features_library_books_thickest(exports_features_library_books_borrow_shelf_t shelf,
                                             provider_string_t *title)
{
    if (shelf->count == 0)
        return false;
    provider_string_dup_n(title, (char *)shelf->thickest.ptr, shelf->thickest.len);
    return true;
}
