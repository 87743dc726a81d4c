/* What a request's path asks for. */
#ifndef PATH_H
#define PATH_H

#include <stddef.h>

/* Finds the name in the path's last segment; answers its length, which may be 0. */
size_t path_name(const char *path, size_t length, const char **name);

#endif
