#include <stdio.h>
#include <string.h>

#include "../src/greeting.h"

static int failures;

static void check(const char *path, const char *expected)
{
    char words[64];
    greeting(path, strlen(path), words, sizeof words);
    if (strcmp(words, expected) != 0) {
        fprintf(stderr, "%s: \"%s\", not \"%s\"\n", path, words, expected);
        failures++;
    }
}

int main(void)
{
    check("/Ada", "Hello, Ada!");
    check("/people/Ada?loud=1", "Hello, Ada!");
    check("/", "Hello, world!");
    printf("%s\n", failures == 0 ? "ok" : "failed");
    return failures != 0;
}
