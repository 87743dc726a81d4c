#include "path.h"

size_t path_name(const char *path, size_t length, const char **name)
{
    size_t start = 0, end = 0;
    while (end < length && path[end] != '?') {
        if (path[end] == '/')
            start = end + 1;
        end++;
    }
    *name = path + start;
    return end - start;
}
