/* Greets people for other services. */

#include "../gen/service.h"
#include "greeting.h"

bool exports_example_greetings_greetings_greet(
    service_string_t *name, service_string_t *ret,
    exports_example_greetings_greetings_problem_t *err)
{
    char words[1024];
    bool known = greeting((char *)name->ptr, name->len, words, sizeof words);
    service_string_free(name); /* What comes in is ours. */
    if (known)
        service_string_dup(ret, words); /* What goes out is freed after the call. */
    else
        err->tag = EXPORTS_EXAMPLE_GREETINGS_GREETINGS_PROBLEM_NO_NAME;
    return known;
}
