#include "greeting.h"

#include <stdio.h>

void greeting(const char *path, size_t length, char *words, size_t size)
{
    size_t start = 0, end = 0;
    while (end < length && path[end] != '?') {
        if (path[end] == '/')
            start = end + 1;
        end++;
    }
    if (start == end)
        snprintf(words, size, "Hello, world!");
    else
        snprintf(words, size, "Hello, %.*s!", (int)(end - start), path + start);
}
