#include <stdio.h>
#include <string.h>

#include "../src/path.h"

static int failures;

static void check(const char *path, const char *expected)
{
    const char *name;
    size_t length = path_name(path, strlen(path), &name);
    if (length != strlen(expected) || memcmp(name, expected, length) != 0) {
        fprintf(stderr, "%s: \"%.*s\", not \"%s\"\n", path, (int)length, name, expected);
        failures++;
    }
}

int main(void)
{
    check("/people/Ada?loud=1", "Ada");
    check("/", "");
    printf("%s\n", failures == 0 ? "ok" : "failed");
    return failures != 0;
}
