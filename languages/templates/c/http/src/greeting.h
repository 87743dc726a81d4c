/* Whom to greet, and how. */
#ifndef GREETING_H
#define GREETING_H

#include <stddef.h>

/* Writes the words for whoever the last segment of the path names; cut off after `size` bytes. */
void greeting(const char *path, size_t length, char *words, size_t size);

#endif
