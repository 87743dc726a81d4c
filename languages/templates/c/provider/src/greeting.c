#include "greeting.h"

#include <stdio.h>

bool greeting(const char *name, size_t length, char *words, size_t size)
{
    if (length == 0)
        return false;
    snprintf(words, size, "Hello, %.*s!", (int)length, name);
    return true;
}
